import { hash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { App } from '../app.ts'
import { isAppError } from '../lib/errors.ts'
import { FIXED } from '../model/limits.ts'
import { type Basket, readBasket } from './basket.ts'
import type { Args } from './command.ts'
import { type Line, factsOf, linesOf } from './files/lines.ts'
import { createCheckpoint, START } from './files/checkpoint.ts'
import type { Report } from './files/report.ts'
import { eachOf } from './parallel.ts'
import { progress, step } from './terminal.ts'

/** Carts from a file, each the cart of an account without a password: its owner sets one before the first login. */
interface CartsImport {
  readonly app: App
  readonly file: string
  readonly args: Args
  readonly report: Report
  readonly folder: string
}

const WIDTH = 16
const REMEMBER_EVERY = 200

export async function importCarts({ app, file, args, report, folder }: CartsImport): Promise<void> {
  const limit = args.number('limit', Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER)
  const dry = args.flag('dry-run')
  const { contentHash, encoding } = await step('read the file once', () => factsOf(file))
  const lines = (after: number) => between(linesOf(file, encoding), after, limit)
  const total = await step('count the lines', async () => {
    let last = 0
    for await (const { number } of lines(0)) last = number
    return last
  })
  const checkpoint = createCheckpoint(join(folder, `${contentHash.slice(0, 32)}.json`))
  const { line: done, refused } = dry || args.flag('restart') ? START : checkpoint.read()
  if (done >= total && total > 0) {
    const left = refused > 0 ? `, ${refused} of them were refused` : ''
    console.log(`All ${total} lines were read before${left}; --restart begins again.`)
    if (refused > 0) process.exitCode = 3
    return
  }
  report.open(done > 0 ? refused : undefined)
  if (done > 0) console.log(`Going on after line ${done}.`)
  const counts = { imported: 0, returns: 0, blank: 0 }
  await step(`import carts from ${total - done} lines`, async () => {
    const bar = progress('lines', total)
    bar.set(done)
    // Of a password that is thrown away: no text fits it.
    const passwordHash = await app.passwords.hash(randomBytes(32).toString('base64url'))
    const finished = createWatermark(done)
    await eachOf(lines(done), WIDTH, async line => {
      const isBlank = !line.isTooLong && line.text.trim() === ''
      const basket = line.isTooLong || isBlank ? tooLong : readBasket(line.text, app.limits)
      if (isBlank) counts.blank++
      else if (basket.kind === 'wrong') report.reject(line.number, basket.reason)
      else if (basket.kind === 'return') counts.returns++
      else {
        const problem = dry ? undefined : await importCart(app, basket, passwordHash, args.flag('merge'))
        if (problem) report.reject(line.number, problem)
        else counts.imported++
      }
      const watermark = finished.add(line.number)
      if (!dry && watermark % REMEMBER_EVERY === 0) {
        report.sync()
        checkpoint.write({ line: watermark, refused: report.count() })
      }
      bar.set(line.number)
    }).finally(() => {
      report.sync()
      if (!dry) checkpoint.write({ line: finished.watermark(), refused: report.count() })
      bar.end()
    })
  })
  const verb = dry ? 'Would import' : 'Imported'
  console.log(
    `${verb} ${counts.imported} carts; ${counts.returns} returns passed over, ${report.count()} lines left out.`,
  )
  if (report.count() > 0) process.exitCode = 3
}

const tooLong: Basket = { kind: 'wrong', reason: 'the line is too long' }

async function* between(lines: AsyncIterable<Line>, after: number, limit: number): AsyncGenerator<Line> {
  for await (const line of lines) {
    if (line.number > limit) return
    if (line.number > after) yield line
  }
}

/** Up to which line all are done, when some finish before earlier ones. */
function createWatermark(start: number) {
  const finished = new Set<number>()
  let watermark = start
  return {
    add(number: number): number {
      finished.add(number)
      while (finished.delete(watermark + 1)) watermark++
      return watermark
    },
    watermark: () => watermark,
  }
}

/** Returns why it was refused, or undefined. The whole cart is one change with its own key: never half, never twice. */
async function importCart(
  app: App,
  basket: { id: string; email: string; lines: readonly { sku: string; quantity: number }[] },
  passwordHash: string,
  merge: boolean,
): Promise<string | undefined> {
  try {
    const added = await app.registrations.addMember({ email: basket.email, name: '', passwordHash })
    const userId = 'id' in added ? added.id : added.takenBy
    const key = `import:${basket.id}`.slice(0, FIXED.idempotencyKeyCharsMax)
    const fingerprint = hash('sha256', JSON.stringify(basket.lines))
    const request = { userId, idempotency: { key, fingerprint } }
    await app.carts.addLines(merge ? request : { ...request, ifMatch: 0 }, basket.lines, [])
    return undefined
  } catch (error) {
    if (isAppError(error, 'version_mismatch'))
      return `the account of ${basket.email} has a cart already: it was left as it is (--merge --restart adds the lines)`
    const refused = [
      'product_unknown',
      'line_quantity_max',
      'cart_lines_max',
      'idempotency_mismatch',
      'invalid_request',
      'email_taken',
      'session_ended',
    ]
    if (isAppError(error) && refused.includes(error.code)) return error.message
    throw error
  }
}

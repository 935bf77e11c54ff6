import { type App, createApp } from '../app.ts'
import { loadConfig } from '../config/config.ts'
import { isAppError } from '../lib/errors.ts'
import type { Step } from '../stack/stack.ts'
import { catalogRows } from '../store/catalog.ts'
import { userRows } from '../store/users.ts'
import { createLog } from '../telemetry/log.ts'
import { type Command, CommandError } from './command.ts'
import { createGenerator } from './generator.ts'
import { eachOf } from './parallel.ts'
import { progress, step } from './terminal.ts'
import { serversOf } from './with-app.ts'

/** Fills a shop with made-up products, users and carts. Doing it again with the same seed changes nothing. */
interface SeedOptions {
  readonly products: number
  readonly users: number
  readonly seed: number
  readonly password: string
}

export const DEMO_EMAIL = (user: number): string => `user${user}@example.com`

/** `cartload seed`: fills an empty shop with demonstration data. */
export function seedCommand(projectDir: string): Command {
  return {
    name: 'seed',
    summary: 'Makes a plausible catalogue, users and carts; the same seed gives the same shop',
    options: {
      products: { type: 'string', value: 'N', doc: 'products (default 5000)' },
      users: { type: 'string', value: 'N', doc: 'users with carts (default 2000)' },
      seed: { type: 'string', value: 'N', doc: 'number that everything follows from (default 1)' },
      'dry-run': { type: 'boolean', doc: 'show what would be made, write nothing' },
      yes: { type: 'boolean', doc: 'needed for outside servers: the users it makes have a known password' },
    },
    async run(args) {
      const { config, secrets } = loadConfig(projectDir)
      const servers = serversOf(secrets)
      const options = {
        products: args.number('products', 5000, 1, 1_000_000),
        users: args.number('users', 2000, 0, 10_000_000),
        seed: args.number('seed', 1, 0, 2 ** 31),
        password: secrets.seedPassword,
      }
      if (args.flag('dry-run')) {
        const generator = createGenerator({ ...options, linesMax: 500, quantityMax: 999 })
        console.log(`Would make ${options.products} products such as ${JSON.stringify(generator.product(0))}`)
        console.log(
          `and ${options.users} users such as ${DEMO_EMAIL(1)} with ${generator.cart(0).length} lines in the cart.`,
        )
        return
      }
      if (!config.embedded && !args.flag('yes')) {
        throw new CommandError(
          `this would make ${options.users} users with a known password on outside servers: add --yes`,
        )
      }
      const app = await createApp(config, servers, createLog('warn'))
      try {
        if (!config.embedded) await refuseRealAccounts(app)
        await seed(app, options, step)
      } finally {
        await app.close()
      }
    },
  }
}

/** Users with a known password have no place beside people. @throws CommandError when an account is there that no seed or import has made */
async function refuseRealAccounts(app: App): Promise<void> {
  const found = await Promise.all(
    app.router.shards.map(shard => userRows.hasOther(shard, ['user%@example.com', '%@import.example'])),
  )
  if (found.includes(true))
    throw new CommandError(
      'these servers hold accounts of people: users with a known password are not made beside them',
    )
}

/** Products of one transaction. */
const SEED_ROWS = 5_000

/** Products, accounts and carts; goes on where an interrupted run has ended. @throws AppError of the dependencies */
export async function seed(app: App, options: SeedOptions, run: Step): Promise<void> {
  const { cartLinesMax, lineQuantityMax } = app.limits
  const generator = createGenerator({ ...options, linesMax: cartLinesMax, quantityMax: lineQuantityMax })
  await run(`seed ${options.products} products`, async () => {
    const bar = progress('products', options.products)
    for (let first = 0; first < options.products; first += SEED_ROWS) {
      const length = Math.min(SEED_ROWS, options.products - first)
      await catalogRows.put(
        app.global,
        Array.from({ length }, (_, at) => generator.product(first + at)),
      )
      bar.add(length)
    }
    await app.catalog.atLeast((await catalogRows.state(app.global)).version)
    bar.end()
  })
  await run(`seed ${options.users} users with carts`, async () => {
    const bar = progress('users', options.users)
    // One hash for all: the password is one and known, and 2,000 real hashes would take half a minute.
    const passwordHash = await app.passwords.hash(options.password)
    await eachOf(
      Array.from({ length: options.users }, (_, index) => index),
      16,
      async index => {
        const member = { email: DEMO_EMAIL(index + 1), name: `User ${index + 1}`, passwordHash }
        const added = await app.registrations.addMember(member)
        const userId = 'id' in added ? added.id : added.takenBy
        const lines = generator.cart(index)
        const key = `seed:${options.seed}:${options.products}:${index}`
        const idempotency = { key, fingerprint: key }
        await app.carts.addLines({ userId, ifMatch: 0, idempotency }, lines, []).catch((error: unknown) => {
          if (!isAppError(error, 'version_mismatch')) throw error // there was a cart before: it is left alone
        })
        bar.add()
      },
    )
    bar.end()
  })
}

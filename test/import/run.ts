import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { createGzip } from 'node:zlib'
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise'
import { cliEnvironment } from '../support/cli.ts'
import { PROJECT, startServers } from '../support/servers.ts'

/** A large catalogue, imported as an operator does: how fast, with how much memory, and whether one that is killed goes on to the same end. */
const HELP = `node test/import/run.ts [--rows N] [--kills N]

Makes a CSV file of N rows (default 1,000,000), imports it into an empty database, and prints time, rows a second and the peak of memory.
Imports it again into an empty database, kills the command N times (default 3) at a random moment, goes on each time, and compares what is
in the catalogue. Then a gzip file that unpacks to 1,000 times its size. Fails when catalogues differ, or memory goes above 200 MB.`

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    kills: { type: 'string', default: '3' },
    help: { type: 'boolean', default: false },
  },
})
const MEMORY_MB_MAX = 200
const ROWS = Number(values.rows)

function* rowsOf(count: number): Generator<string> {
  yield 'sku,name,price,category,regular_price,tags,tax_percent\n'
  let text = ''
  for (let row = 1; row <= count; row++) {
    const price = 100 + ((row * 7919) % 9_900)
    const name = `Product number ${row}${row % 10 === 0 ? ', ""the large one""' : ''}`
    text += `BULK-${String(row).padStart(8, '0')},"${name}",${(price / 100).toFixed(2)}${row % 7 === 0 ? '25' : ''},Category ${row % 500},${((price * 1.2) / 100).toFixed(2)},"new,tag${row % 20}",${row % 3 === 0 ? 7 : 20}\n`
    if (row % 1_000 === 0 || row === count) {
      yield text
      text = ''
    }
  }
}

interface Ended {
  readonly code: number | null
  readonly seconds: number
  readonly peakMb: number
  readonly said: string
}

/** Runs the import; with `killAfterMs` it is killed then, unless it has ended. */
async function importFile(environment: NodeJS.ProcessEnv, file: string, killAfterMs?: number): Promise<Ended> {
  const since = performance.now()
  const child = spawn('bin/cartload', ['import', 'catalogue', file], {
    cwd: PROJECT,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const output of [child.stdout, child.stderr])
    output.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-4_000)))
  let peakMb = 0
  const look = () => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8') // bin/cartload becomes Node.js
      peakMb = Math.max(peakMb, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024)
    } catch {
      // It has ended.
    }
  }
  const looking = setInterval(look, 200)
  const killing = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  const [code] = (await once(child, 'close')) as [number | null]
  clearInterval(looking)
  clearTimeout(killing)
  return { code, seconds: (performance.now() - since) / 1000, peakMb, said }
}

async function checksumOf(global: Connection): Promise<string> {
  const [[row]] = await global.query<RowDataPacket[]>(
    `SELECT COUNT(*) AS count, SUM(CRC32(CONCAT_WS('|', sku, name, price, category, IFNULL(list_price, ''), IFNULL(floor_price, ''), IFNULL(fine_prices, ''), tags, tax_milli, status))) AS sum FROM products`,
  )
  return `${row?.['count']} products, checksum ${row?.['sum']}`
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const dir = mkdtempSync(join(tmpdir(), 'cartload-million-'))
  const servers = await startServers()
  const global = await createConnection(servers.adminUrls.global)
  const faults: string[] = []
  const judge = (what: string, holds: boolean) => {
    console.log(`${holds ? 'held  ' : 'FAILED'}  ${what}`)
    if (!holds) faults.push(what)
  }
  const judgeMemory = ({ peakMb }: Ended) =>
    judge(`at most ${MEMORY_MB_MAX} MB of memory: ${peakMb.toFixed(0)} MB`, peakMb <= MEMORY_MB_MAX)
  try {
    const file = join(dir, 'catalogue.csv')
    await pipeline(Readable.from(rowsOf(ROWS)), createWriteStream(file))
    const [whole, killed, bomb] = ['whole', 'killed', 'bomb'].map(name =>
      cliEnvironment(join(dir, name), servers.addresses),
    )

    await global.query('TRUNCATE TABLE products')
    const first = await importFile(whole!, file)
    judge(`${ROWS.toLocaleString('en')} rows are imported: exit status ${first.code}`, first.code === 0)
    console.log(
      `        ${first.seconds.toFixed(0)} s, ${Math.round(ROWS / first.seconds).toLocaleString('en')} rows/s, the file read once before among it`,
    )
    judgeMemory(first)
    const right = await checksumOf(global)
    console.log(`        ${right}`)

    await global.query('TRUNCATE TABLE products')
    let kills = 0
    for (let at = 0; at < Number(values.kills); at++) {
      const { code } = await importFile(killed!, file, (0.1 + Math.random() * 0.5) * first.seconds * 1000)
      if (code === null) kills++
      console.log(`        killed: ${await checksumOf(global)}`)
    }
    judge(`it was killed ${kills} times before it had ended`, kills > 0)
    const last = await importFile(killed!, file)
    judge(`it goes on and ends: exit status ${last.code} after ${last.seconds.toFixed(0)} s`, last.code === 0)
    judge('the catalogue is the same', (await checksumOf(global)) === right)

    // One line of zeros: 600 MB out of 600 kB.
    const packed = join(dir, 'bomb.csv.gz')
    const zeros = function* () {
      yield 'sku,name,price,category\nBOMB,'
      for (let megabytes = 0; megabytes < 600; megabytes++) yield '0'.repeat(1_048_576)
    }
    await pipeline(Readable.from(zeros()), createGzip(), createWriteStream(packed))
    const exploded = await importFile(bomb!, packed)
    judge(
      `a gzip bomb is refused: exit status ${exploded.code}: ${exploded.said.trim().split('\n').at(-1)}`,
      exploded.code !== 0,
    )
    judgeMemory(exploded)
    return faults.length === 0 ? 0 : 1
  } finally {
    await global.end()
    await servers.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

process.exitCode = await main()

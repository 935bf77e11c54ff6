import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect } from 'chai'
import { PROJECT } from '../support/servers.ts'

/** The dependency table of the design and the rules of files, checked; what would be a fault is planted below. */
const USE_CASES = ['accounts', 'cart', 'catalog', 'inventory', 'sales', 'orders']
const BELOW = ['pricing', 'store', 'cache', 'sessions', 'model', 'sharding', 'lib', 'telemetry']
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  telemetry: ['lib'],
  model: ['lib'],
  sharding: ['lib'],
  config: ['lib', 'model'],
  pricing: ['model', 'lib', 'telemetry'],
  store: ['sharding', 'model', 'lib', 'telemetry'],
  cache: ['sharding', 'model', 'lib', 'telemetry'],
  sessions: ['sharding', 'model', 'lib', 'telemetry'],
  catalog: BELOW,
  cart: [...BELOW, 'catalog'],
  inventory: [...BELOW, 'cart', 'catalog'],
  sales: [...BELOW, 'cart', 'catalog', 'inventory'],
  orders: [...BELOW, 'cart', 'catalog', 'inventory', 'sales'],
  accounts: [...BELOW, 'cart'],
  ops: ['store', 'sharding', 'cache', 'sessions', 'pricing', 'model', 'lib', 'telemetry'],
  web: ['model', 'lib'],
  http: [...USE_CASES, 'sessions', 'ops', 'web', 'model', 'lib', 'telemetry'],
  wiring: [...USE_CASES, ...BELOW, 'config', 'ops', 'http'],
  'app.ts': [...USE_CASES, ...BELOW, 'config', 'ops', 'http', 'wiring'],
  'main.ts': ['app.ts', 'config', 'ops', 'lib', 'telemetry'],
  stack: ['config', 'store', 'sharding', 'model', 'lib', 'telemetry'],
  cli: ['app.ts', 'config', 'ops', 'stack', 'store', 'sharding', 'model', 'lib', 'telemetry'],
}

const OWNERS: Readonly<Record<string, RegExp>> = {
  express: /^http\//,
  'proxy-addr': /^http\/client-address\.ts$/,
  'xxhash-wasm': /^sharding\/slots\.ts$/,
  ioredis: /^lib\/redis(-check)?\.ts$/,
  mysql2: /^store\//,
  'mysql2/promise': /^store\//,
  umzug: /^store\//,
  piscina: /^pricing\/pricing-threads\.ts$/,
  pino: /^telemetry\//,
  '@prometheus-io/client': /^telemetry\//,
  '@node-rs/argon2': /^accounts\/passwords\.ts$/,
  zod: /^(config|http)\/|^model\/(promotion|rule-set-check)\.ts$|^cli\/basket\.ts$/,
}

const PURE = /^(model|sharding)\/|^pricing\/(?!pricing-(service|threads)\.ts$)|^cli\/(generator|basket)\.ts$|^web\//
const LINES_MAX = 320

interface Source {
  readonly path: string
  readonly text: string
}

function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]/g)].map(match => match[1] ?? '')
}

const folderOf = (path: string) => path.split('/')[0] ?? path

function problemsOf({ path, text }: Source): string[] {
  const problems: string[] = []
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
  const folder = folderOf(path)
  for (const target of importsOf(code)) {
    if (target.startsWith('.')) {
      const other = folderOf(normalize(join(dirname(path), target)))
      if (other !== folder && !(MAY_IMPORT[folder] ?? []).includes(other)) problems.push(`${folder} imports ${other}`)
    } else {
      const owner = OWNERS[target]
      if (owner && !owner.test(path)) problems.push(`${target} is imported outside its owner`)
    }
  }
  if (!/^(config\/|stack\/|cli\/)/.test(path) && /\bprocess\.env\b/.test(code)) problems.push('reads process.env')
  if (path.startsWith('config/') && path !== 'config/config.ts' && /\bprocess\.env\b/.test(code))
    problems.push('reads process.env')
  if (!/^(cli|stack)\//.test(path) && /\bconsole\./.test(code)) problems.push('uses console')
  if (!/^(main\.ts|cli\/main\.ts)$/.test(path) && /\bprocess\.exit\(/.test(code)) problems.push('calls process.exit')
  if (PURE.test(path) && /\bDate\.now\b|\bnew Date\(\)|Math\.random|setTimeout|performance\.now|randomBytes/.test(code))
    problems.push('is not pure')
  if (/^export default\b/m.test(code)) problems.push('has a default export')
  if (/(^|\/)index\.ts$/.test(path)) problems.push('is a barrel')
  if (!/^[a-z0-9-]+(\/[a-z0-9-]+)*\.ts$/.test(path)) problems.push('is not named in kebab-case')
  if (text.split('\n').length > LINES_MAX) problems.push(`has more than ${LINES_MAX} lines`)
  return problems
}

function sources(): Source[] {
  return readdirSync(join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts'))
    .map(path => ({ path, text: readFileSync(join(PROJECT, 'src', path), 'utf8') }))
}

/** Files that nothing leads to from an entry. */
function deadFiles(all: readonly Source[], entries: readonly string[]): string[] {
  const byPath = new Map(all.map(source => [source.path, source]))
  const reached = new Set<string>()
  const visit = (path: string): void => {
    const source = byPath.get(path)
    if (!source || reached.has(path)) return
    reached.add(path)
    for (const target of importsOf(source.text))
      if (target.startsWith('.')) visit(normalize(join(dirname(path), target)))
  }
  for (const entry of entries) visit(entry)
  return all.map(source => source.path).filter(path => !reached.has(path))
}

describe('the architecture', () => {
  const all = sources()

  it('has files to look at', () => expect(all.length).to.be.above(50))

  for (const source of all) it(`is kept by ${source.path}`, () => expect(problemsOf(source)).to.deep.equal([]))

  it('has no dead file', () => {
    const entries = ['main.ts', 'cli/main.ts', 'pricing/worker.ts']
    expect(deadFiles(all, entries)).to.deep.equal([])
  })

  it('names a folder for every file', () => {
    for (const { path } of all) expect(MAY_IMPORT).to.have.property(folderOf(path))
  })

  describe('would be broken, and it is seen, by', () => {
    const planted: [string, Source, string][] = [
      [
        'http reaching into the store',
        { path: 'http/x.ts', text: "import { y } from '../store/y.ts'" },
        'http imports store',
      ],
      [
        'the cache knowing the cart',
        { path: 'cache/x.ts', text: "import type { y } from '../cart/y.ts'" },
        'cache imports cart',
      ],
      [
        'the catalogue knowing the cart',
        { path: 'catalog/x.ts', text: "export { y } from '../cart/y.ts'" },
        'catalog imports cart',
      ],
      ['a dynamic import', { path: 'model/x.ts', text: "await import('../store/y.ts')" }, 'model imports store'],
      ['an import for its side effect', { path: 'lib/x.ts', text: "import '../config/y.ts'" }, 'lib imports config'],
      [
        'an import over several lines',
        { path: 'web/x.ts', text: "import {\n  y,\n} from '../store/y.ts'" },
        'web imports store',
      ],
      [
        'Redis in a use case',
        { path: 'cart/x.ts', text: "import { Redis } from 'ioredis'" },
        'ioredis is imported outside its owner',
      ],
      ['the environment read by a use case', { path: 'cart/x.ts', text: 'process.env.X' }, 'reads process.env'],
      ['a clock in the model', { path: 'model/x.ts', text: 'Date.now()' }, 'is not pure'],
      ['chance in the price', { path: 'pricing/price.ts', text: 'Math.random()' }, 'is not pure'],
      ['a default export', { path: 'lib/x.ts', text: 'export default 1' }, 'has a default export'],
      ['a barrel', { path: 'lib/index.ts', text: '' }, 'is a barrel'],
      [
        'a file that is too long',
        { path: 'lib/x.ts', text: '\n'.repeat(LINES_MAX + 1) },
        `has more than ${LINES_MAX} lines`,
      ],
      ['console outside the command line', { path: 'cart/x.ts', text: 'console.log(1)' }, 'uses console'],
    ]
    for (const [what, source, problem] of planted) it(what, () => expect(problemsOf(source)).to.include(problem))

    it('a dead file', () => {
      expect(
        deadFiles(
          [
            { path: 'main.ts', text: '' },
            { path: 'lib/x.ts', text: '' },
          ],
          ['main.ts'],
        ),
      ).to.deep.equal(['lib/x.ts'])
    })
  })
})

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { expect } from 'chai'
import { PROJECT } from '../support/servers.ts'

/**
 * Rules of style, checked, each with a planted fault (architecture.test.ts has those of structure). Words on the list have a standard
 * term in the field, or make a person the subject of a sentence about a thing.
 */
const BANNED: Readonly<Record<string, string>> = {
  funnel: 'cart writer',
  glance: 'warm read',
  shelf: 'scope index',
  arena: 'evaluation',
  handover: 'guest merge',
  settlement: 'order recovery',
  allowance: 'promotion limit',
  whoever: 'the thing that does it',
  somebody: 'the thing that does it',
  anybody: 'any …',
  everybody: 'all …',
  nobody: 'no …',
  door: 'listener',
  'turn of the event loop': 'tick',
}
const BANNED_PATTERN = new RegExp(`\\b(?:${Object.keys(BANNED).join('|')})s?\\b`, 'i')
/** Old names that stay: a lease in a database of an earlier release, a published test vector, memory areas of glibc. */
const ALIASES = ["orderLease: 'settlement',", "['Nobody inspects the spammish repetition',", 'malloc arena']

const FUNCTION_LINES_MAX = 80

interface Source {
  readonly path: string
  readonly text: string
}

function filesOf(folder: string, ending: RegExp): Source[] {
  return readdirSync(join(PROJECT, folder), { recursive: true, encoding: 'utf8' })
    .filter(path => ending.test(path))
    .map(path => ({ path: join(folder, path), text: readFileSync(join(PROJECT, folder, path), 'utf8') }))
}

function bannedIn({ path, text }: Source): string[] {
  return text.split('\n').flatMap((line, at) => {
    const word = BANNED_PATTERN.exec(line)?.[0]
    return word === undefined || ALIASES.some(alias => line.includes(alias)) ? [] : [`${path}:${at + 1} ${word}`]
  })
}

const importsOf = ({ path, text }: Source): string[] =>
  [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']+)'/g)].map(match =>
    normalize(join(dirname(path), match[1] ?? '')),
  )

/** Circles of imports, those of types too. */
function circlesOf(all: readonly Source[]): string[] {
  const byPath = new Map(all.map(source => [source.path, source]))
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (path: string, above: readonly string[]): void => {
    if (above.includes(path)) circles.push([...above.slice(above.indexOf(path)), path].join(' > '))
    const source = byPath.get(path)
    if (!source || done.has(path) || above.includes(path)) return
    for (const next of importsOf(source)) visit(next, [...above, path])
    done.add(path)
  }
  for (const { path } of all) visit(path, [])
  return circles
}

/** Exports of `sources` that no other file names. */
function lonelyExports(sources: readonly Source[], all: readonly Source[]): string[] {
  return sources.flatMap(source =>
    [...source.text.matchAll(/^export (?:async )?(?:const|function\*?|class|interface|type|let) (\w+)/gm)]
      .map(([, name = '']) => name)
      .filter(name => !all.some(other => other !== source && new RegExp(`\\b${name}\\b`).test(other.text)))
      .map(name => `${source.path} ${name}`),
  )
}

/** Exported functions that throw and have no doc comment. */
function undocumented({ path, text }: Source): string[] {
  const functions = text.matchAll(/(\*\/\n)?^export (?:async )?function\*? (\w+)[\s\S]*?^}/gm)
  return [...functions].flatMap(([body, doc, name]) =>
    doc === undefined && /\bthrow\b/.test(body) ? [`${path} ${name}`] : [],
  )
}

const reExports = ({ path, text }: Source): string[] =>
  /^export (?:type )?(?:\*|\{[^}]*\}) from\b/m.test(text) ? [path] : []

/** Functions with more lines than allowed, by oxlint's own rule. */
function longFunctions(folder: string): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'cl-style-'))
  const config = join(dir, 'oxlint.json')
  const rules = { 'max-lines-per-function': ['error', { max: FUNCTION_LINES_MAX }] }
  writeFileSync(config, JSON.stringify({ plugins: [], categories: { correctness: 'off' }, rules }))
  try {
    const program = join(PROJECT, 'node_modules/oxlint/bin/oxlint')
    const words = [program, '-c', config, '-f', 'json', folder]
    const text = execFileSync(process.execPath, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
    return namesIn(text)
  } catch (error) {
    return namesIn(String((error as { stdout?: unknown }).stdout))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

function namesIn(report: string): string[] {
  const { diagnostics } = JSON.parse(report) as { diagnostics: { message: string }[] }
  return diagnostics.map(({ message }) => /`(\w+)`/.exec(message)?.[1] ?? message).sort()
}

describe('the style', () => {
  const sources = filesOf('src', /\.ts$/)
  const code = [...sources, ...filesOf('test', /\.ts$/), ...filesOf('load-tests', /\.ts$/)]
  const documents = [
    ...filesOf('docs', /\.md$/),
    ...filesOf('nginx', /\.conf$/),
    ...filesOf('src', /\.(lua|sql)$/),
    ...['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'load-tests/README.md'].map(path => ({
      path,
      text: readFileSync(join(PROJECT, path), 'utf8'),
    })),
  ]

  it('uses no word of the list in code, documents, and test names', () => {
    const found = [...code, ...documents].filter(({ path }) => !path.endsWith('style.test.ts')).flatMap(bannedIn)
    expect(found).to.deep.equal([])
  })

  it('has no circles of imports', () => expect(circlesOf(code)).to.deep.equal([]))

  it('exports nothing that only its own file uses', () => expect(lonelyExports(sources, code)).to.deep.equal([]))

  it('says of every exported function that throws what it does', () =>
    expect(sources.flatMap(undocumented)).to.deep.equal([]))

  it('has no re-exports', () => expect(sources.flatMap(reExports)).to.deep.equal([]))

  it(`has no function of more than ${FUNCTION_LINES_MAX} lines, but those that are still to be cut`, () =>
    expect(longFunctions(join(PROJECT, 'src'))).to.deep.equal(TO_CUT.toSorted()))

  describe('would be broken, and it is seen, by', () => {
    const at = (path: string, text: string): Source => ({ path, text })

    it('a word of the list', () => {
      expect(bannedIn(at('src/x.ts', '// told to nobody'))).to.deep.equal(['src/x.ts:1 nobody'])
      expect(bannedIn(at('src/x.ts', 'const shelves = doors'))).to.deep.equal(['src/x.ts:1 doors'])
    })

    it('a circle over types', () => {
      const circle = [at('a.ts', "import type { b } from './b.ts'"), at('b.ts', "import { a } from './a.ts'")]
      expect(circlesOf(circle)).to.deep.equal(['a.ts > b.ts > a.ts'])
    })

    it('an export for nothing', () => {
      const lonely = at('a.ts', 'export const here = 1')
      expect(lonelyExports([lonely], [lonely])).to.deep.equal(['a.ts here'])
      expect(lonelyExports([lonely], [lonely, at('b.ts', 'here()')])).to.deep.equal([])
    })

    it('a function that throws without a word about it', () => {
      const text = 'export function f() {\n  throw new Error()\n}\n'
      expect(undocumented(at('a.ts', text))).to.deep.equal(['a.ts f'])
      expect(undocumented(at('a.ts', `/** @throws Error */\n${text}`))).to.deep.equal([])
    })

    it('a re-export', () => expect(reExports(at('a.ts', "export { b } from './b.ts'"))).to.deep.equal(['a.ts']))

    it('a long function', () => {
      const dir = mkdtempSync(join(tmpdir(), 'cl-style-'))
      try {
        const lines = Array.from({ length: FUNCTION_LINES_MAX }, () => '  call()').join('\n')
        writeFileSync(join(dir, 'a.ts'), `function long() {\n${lines}\n}\nfunction short() {\n  call()\n}\n`)
        expect(longFunctions(dir)).to.deep.equal(['long'])
      } finally {
        rmSync(dir, { recursive: true })
      }
    })
  })
})

/** Longer than they should be. A name leaves the list when its function is cut, and none comes in. */
const TO_CUT: readonly string[] = [
  'createBound',
  'createSearch',
  'createStack',
  'createStepBuilder',
  'openDatabase',
  'watchSales',
]

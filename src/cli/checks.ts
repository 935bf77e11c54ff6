import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { findOrInstall, MissingPrograms } from '../stack/programs.ts'
import { type Command, CommandError } from './command.ts'
import { step } from './terminal.ts'

/** What a contributor runs is what CI runs. */
export function testCommand(projectDir: string): Command {
  return {
    name: 'test',
    summary: 'Runs the tests against real servers (npm test); with coverage: npm run coverage',
    usage: '[--coverage] [mocha options and files]',
    passesOn: true,
    async run({ words: given }) {
      const words = given.filter(word => word !== '--coverage')
      const isCovered = words.length < given.length
      const { config } = loadConfig(projectDir, {})
      await step('find nginx, Redis and MariaDB', say =>
        findOrInstall(['nginx', 'redis', 'mariadb'], config.dataDir, say),
      )
      await step('find Chromium (for the page tests)', say => findOrInstall(['chromium'], config.dataDir, say)).catch(
        (error: unknown) => {
          if (!(error instanceof MissingPrograms)) throw error
          console.log('  the page tests will be skipped: there is no Chromium')
        },
      )
      const bin = (name: string) => join(projectDir, 'node_modules', '.bin', name)
      const some = words.some(word => word.endsWith('.ts'))
      // A filter that matches nothing must not look like a success.
      const tests = some ? [bin('mocha'), '--fail-zero'] : [process.execPath, 'test/support/run-suites.ts']
      // Counting what is covered doubles the time of tests that calculate.
      const [program = '', ...args] = [...(isCovered ? [bin('c8')] : []), ...tests, ...words]
      const run = spawn(program, args, {
        cwd: projectDir,
        stdio: 'inherit',
        env: isCovered ? { ...process.env, NODE_COMPILE_CACHE: undefined } : process.env, // coverage is less precise with it
      })
      process.exitCode = await exitOf(run)
    },
  }
}

interface LongProof {
  readonly what: string
  readonly file: string
  readonly words: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** Proofs that take longer than the suite may: each is a command of its own. */
const LONG: readonly LongProof[] = [
  { what: 'the protocols as models, every interleaving', file: 'test/model/deep.ts', words: [] },
  {
    what: 'orders whose process dies at every step',
    file: 'test/sale/failpoints.ts',
    words: ['--times', '5'],
  },
  { what: 'faults under load', file: 'test/faults/run.ts', words: ['--seed', '1', '--rounds', '3'] },
  {
    what: 'prices against exhaustive search',
    file: 'node_modules/mocha/bin/mocha.js',
    words: ['test/unit/price-exhaustive.test.ts', 'test/unit/price-engine.test.ts'],
    environment: { PRICING_EXHAUSTIVE: '20000', PRICING_CASES: '20000' },
  },
  { what: 'a file of a million products', file: 'test/import/run.ts', words: [] },
]

/** `cartload test:long`: the tests that take hours, one after the other. */
export function longTestCommand(projectDir: string): Command {
  return {
    name: 'test:long',
    summary: 'Runs the longer proofs: models, orders under kills, faults under load (npm run test:long)',
    details: LONG.map(({ what, file, words }) => `  bin/cartload node ${[file, ...words].join(' ')}   ${what}`).join(
      '\n',
    ),
    async run() {
      const failed: string[] = []
      for (const { what, file, words, environment } of LONG) {
        console.log(`\n=== ${what}: ${[file, ...words].join(' ')}`)
        const since = performance.now()
        const code = await exitOf(
          spawn(process.execPath, [file, ...words], {
            cwd: projectDir,
            stdio: 'inherit',
            env: { ...process.env, ...environment },
          }),
        )
        console.log(
          `=== ${code === 0 ? 'passed' : `failed with ${code}`} after ${Math.round((performance.now() - since) / 1000)} s`,
        )
        if (code !== 0) failed.push(what)
      }
      if (failed.length > 0) throw new CommandError(`failed: ${failed.join('; ')}`)
    },
  }
}

const STEPS = [
  { what: 'format', script: 'format:check' },
  { what: 'lint', script: 'lint' },
  { what: 'types', script: 'types' },
  { what: 'tests', script: 'test' },
] as const

export function checkCommand(projectDir: string): Command {
  return {
    name: 'check',
    summary: 'Format, lint, types, tests: what CI runs',
    async run() {
      for (const { what, script } of STEPS) {
        console.log(`\n=== ${what}: npm run ${script}`)
        const code = await exitOf(spawn('npm', ['run', '--silent', script], { cwd: projectDir, stdio: 'inherit' }))
        if (code === 0) continue
        console.log(`\n=== ${what} failed`)
        process.exitCode = code
        return
      }
      console.log('\n=== all checks passed')
    },
  }
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? (signal ? 1 : 0)))
  })
}

import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'

/**
 * Runs all suites in two groups side by side: the tests of the whole system mostly wait, for processes and for time-outs, the others mostly
 * calculate. What the first group prints is shown at once, what the second prints when it has ended.
 */
const GROUPS = [['unit', 'model', 'integration', 'http'], ['system']] as const

const project = join(import.meta.dirname, '..', '..')
const since = performance.now()

function start(suites: readonly string[]): ChildProcess {
  const files = suites.map(suite => `test/${suite}/**/*.test.ts`)
  const mocha = join(project, 'node_modules/mocha/bin/mocha.js')
  const words = [mocha, '--fail-zero', ...process.argv.slice(2), ...files]
  return spawn(process.execPath, words, { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] })
}

const exits = new Map<string, number>()
let shown: Promise<unknown> = Promise.resolve()
for (const suites of GROUPS) {
  const name = suites.join(', ')
  const child = start(suites)
  const parts: Buffer[] = []
  let print = (part: Buffer): unknown => parts.push(part)
  child.stdout?.on('data', part => print(part))
  child.stderr?.on('data', part => print(part))
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      exits.set(name, code ?? (signal ? 1 : 0))
      resolve()
    })
  })
  shown = shown.then(() => {
    console.log(`=== ${name}`)
    process.stdout.write(Buffer.concat(parts))
    print = part => process.stdout.write(part)
    return ended
  })
}
await shown

const seconds = Math.round((performance.now() - since) / 1000)
const failed = [...exits].filter(([, code]) => code !== 0).map(([name]) => name)
console.log(`=== all suites in ${seconds} s${failed.length > 0 ? `; failed: ${failed.join('; ')}` : ''}`)
process.exitCode = failed.length > 0 ? 1 : 0

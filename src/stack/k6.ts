import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { environmentOf, findOrInstall, findProgram, MissingPrograms, type Say } from './programs.ts'

/**
 * k6 comes as no package of Debian or npm, so where it is not installed it is built, once, from its published module. The Go for that is the
 * machine's; where that is missing or too old (Debian 12 has 1.19) it serves to fetch the Go of this version from the same module proxy.
 */
const K6 = 'go.k6.io/k6@v1.8.1'
const GO_VERSION = '1.26.8'
const GO_MINOR_MIN = 25
/** Where Go's own instructions put it, which need not be on PATH. */
const GO_USUAL = '/usr/local/go/bin/go'

/** Path of k6. @throws MissingPrograms that says how to get it */
export async function findK6(dataDir: string, say: Say): Promise<string> {
  const bin = join(dataDir, 'bin')
  const found = findProgram('k6', [bin])
  if (found) return found
  const work = join(dataDir, 'go')
  try {
    const { go, environment } = await findGo(dataDir, work, say)
    mkdirSync(bin, { recursive: true })
    say(`building ${K6} (some minutes, once)`)
    await run(go, ['install', K6], { ...environment, GOBIN: bin })
    return join(bin, 'k6')
  } catch (error) {
    throw new MissingPrograms(
      `k6 is missing, and could not be built: ${String((error as { stderr?: string }).stderr || error).trim()}\n` +
        `Get it from https://grafana.com/docs/k6/latest/set-up/install-k6/, or install Go 1.${GO_MINOR_MIN} or newer.`,
    )
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

interface Go {
  readonly go: string
  readonly environment: Readonly<Record<string, string>>
}

async function findGo(dataDir: string, work: string, say: Say): Promise<Go> {
  const installed = [findProgram('go'), existsSync(GO_USUAL) ? GO_USUAL : undefined].filter(go => go !== undefined)
  for (const go of installed) if ((await minorOf(go)) >= GO_MINOR_MIN) return { go, environment: {} }
  const old = (await findOrInstall(['go'], dataDir, say)).get('go')
  if (!old) throw new Error('there is no Go')
  say(`fetching Go ${GO_VERSION}`)
  const environment = { GOMODCACHE: join(work, 'mod'), GOCACHE: join(work, 'cache'), GOFLAGS: '-modcacherw' }
  const machine = `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  const module = `golang.org/toolchain@v0.0.1-go${GO_VERSION}.${machine}`
  const { stdout } = await run(old.path, ['mod', 'download', '-json', module], {
    ...environment,
    ...environmentOf(old),
  })
  const { Dir } = JSON.parse(stdout) as { Dir: string }
  const programs = ['bin', `pkg/tool/${machine.replace('-', '_')}`].map(dir => join(Dir, dir)).filter(existsSync)
  for (const dir of programs) for (const name of readdirSync(dir)) chmodSync(join(dir, name), 0o755) // modules have no modes
  return { go: join(Dir, 'bin', 'go'), environment: { ...environment, GOROOT: Dir } }
}

async function minorOf(go: string): Promise<number> {
  const { stdout } = await run(go, ['version'], {})
  return Number(/go1\.(\d+)/.exec(stdout)?.[1] ?? 0)
}

/** The machine's own toolchain setting must not send a new Go back to an old one. What else runs here goes first: a build takes minutes. */
function run(program: string, args: string[], environment: Readonly<Record<string, string>>) {
  const running = promisify(execFile)(program, args, {
    env: { ...process.env, GOTOOLCHAIN: 'local', ...environment },
    maxBuffer: 16 * 1024 * 1024,
  })
  if (running.child.pid !== undefined) setPriority(running.child.pid, constants.priority.PRIORITY_LOW)
  return running
}

import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { type Args, type Command, CommandError, UsageError } from '../../src/cli/command.ts'
import { runCommand } from '../../src/cli/run-command.ts'
import { step, table } from '../../src/cli/terminal.ts'
import { isListening } from '../../src/lib/port-probe.ts'
import { findProgram } from '../../src/stack/programs.ts'
import { createRoot, RELEASES, type Release } from './root.ts'
import { PROJECT } from '../support/servers.ts'

/**
 * The two commands of the README on a machine that has nothing but Node.js, npm, apt, git and curl: a Debian root made by debootstrap, entered with
 * namespaces of its own for processes and mounts. What the last commit holds is cloned into it.
 */
const command: Command = {
  name: 'fresh',
  call: 'npm run fresh --',
  summary: 'Runs npm start and npm test in a fresh Debian and prints what passed and how long it took',
  usage: `[${Object.keys(RELEASES).join('|')}]`,
  details:
    'Needs root and Linux. Settings of apt and npm (mirror, proxy, registry, certificates) are those of this machine. The default is debian13.\n' +
    'Exit status 0 when every step passed.',
  options: {
    npm: {
      type: 'string',
      value: 'VERSION',
      doc: 'another npm than that of the system, such as 10.8.2; several with commas, one after the other',
    },
    user: { type: 'boolean', doc: 'run the commands as an ordinary user, not as root' },
    backports: { type: 'boolean', doc: 'with the backports of the release (Valkey on debian12)' },
    root: { type: 'string', value: 'DIR', doc: 'an existing root in place of a new one; it is changed' },
    'start-only': { type: 'boolean', doc: 'leave npm test out' },
    keep: { type: 'boolean', doc: 'keep the root, to look at it afterwards' },
  },
  run,
}

/** What a step prints before and after it, so that its time and end can be read. */
const MARK = '@@'

interface StepResult {
  readonly name: string
  readonly seconds: number
  readonly passed: boolean
}

async function run(args: Args): Promise<void> {
  const [name = 'debian13', ...more] = args.words
  if (!(name in RELEASES) || more.length > 0) throw new UsageError(`say one of ${Object.keys(RELEASES).join(', ')}`)
  if (process.getuid?.() !== 0 || process.platform !== 'linux') throw new CommandError('this needs root on Linux')
  if (!findProgram('unshare')) throw new CommandError('unshare is missing: apt-get install util-linux')
  const work = join(PROJECT, '.cartload', 'fresh')
  mkdirSync(work, { recursive: true })
  const given = args.text('root')
  const dir = given === undefined ? join(work, `${name}-${process.pid}`) : resolve(given)
  const log = join(work, `${name}-${process.pid}.log`)
  const isUser = args.flag('user')
  const results: StepResult[] = []
  const remove = () => rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  if (given === undefined && !args.flag('keep')) process.once('exit', remove)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))
  if (given === undefined)
    await step(`make a root of ${name}`, say =>
      createRoot(name as Release, { work, dir, backports: args.flag('backports'), say }),
    )
  const port = await freePort()
  const home = isUser ? '/home/tester' : '/root'
  const enter = (script: string, user: boolean) => runInRoot({ dir, script, log, user, home, results, port })

  await enter(prepareScript(isUser), false)
  for (const version of args.text('npm')?.split(',') ?? [undefined]) {
    if (version !== undefined && !(await enter(npmScript(version), false))) continue // it does not run on this Node.js
    const clone = `${home}/cartload${version === undefined ? '' : `-${version}`}`
    execFileSync('git', ['clone', '--quiet', '--no-hardlinks', PROJECT, join(dir, clone)])
    copyNpmSettings(join(dir, home))
    if (isUser) execFileSync('chroot', [dir, 'chown', '-R', 'tester:tester', home])
    await enter(startScript(clone, port), isUser)
    if (!args.flag('start-only')) await enter(stepScript('npm test', 'npm test', clone), isUser)
  }

  const rows = results.map(({ name: what, seconds, passed }) => [what, `${seconds} s`, passed ? 'passed' : 'FAILED'])
  console.log(`\n${table([`${name}${isUser ? ', ordinary user' : ', root'}`, 'time', ''], rows)}`)
  console.log(`What the commands said: ${log}`)
  if (results.some(({ passed }) => !passed)) throw new CommandError('not every step passed')
}

const stepScript = (name: string, script: string, cwd = '/'): string =>
  `echo "${MARK}begin ${name}"; if (cd ${cwd} && set -eu && ${script}); then echo "${MARK}end 0"; else echo "${MARK}end 1"; exit 1; fi`

function prepareScript(isUser: boolean): string {
  const install = 'apt-get update -q && apt-get install -y -q --no-install-recommends nodejs npm git curl'
  return [
    stepScript(
      'install Node.js and npm',
      `export DEBIAN_FRONTEND=noninteractive && ${install} && echo "Node $(node --version), npm $(npm --version)"`,
    ),
    ...(isUser ? ['id tester >/dev/null 2>&1 || useradd --create-home --shell /bin/sh tester'] : []),
  ].join('\n')
}

const npmScript = (version: string): string =>
  stepScript(`npm ${version}`, `npm install --global --prefix /usr/local npm@${version} && npm --version`)

/** One namespace for all of it: the cluster must live from the start to the stop, and nothing may be left then. */
function startScript(clone: string, port: number): string {
  const readme = readFileSync(join(PROJECT, 'README.md'), 'utf8')
  const lines = (/```sh\n(curl[\s\S]*?)```/.exec(readme)?.[1] ?? '')
    .trim()
    .replaceAll('localhost:8080', `localhost:${port}`)
  const quiet = lines.replaceAll(/^curl /gm, 'curl -sS --fail -o /dev/null ')
  // A process namespace shows only what was started in it: this shell, its subshell and what it runs. The brackets keep grep from finding itself.
  const nothing =
    'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline 2>/dev/null; echo; done | grep -E "mariad[b]d|redis-serve[r]|valkey-serve[r]|ngin[x]|PM[2]|main[.]ts" && exit 1 || true'
  return [
    stepScript('npm start', 'npm start', clone),
    stepScript('five lines of the README', quiet, '/tmp'),
    stepScript('npm run status', 'npm run status', clone),
    stepScript('bin/cartload try', 'bin/cartload try', clone),
    stepScript('npm stop leaves nothing', `npm stop && ${nothing}`, clone),
  ].join('\n')
}

interface Entered {
  readonly dir: string
  readonly script: string
  readonly log: string
  readonly user: boolean
  readonly home: string
  readonly results: StepResult[]
  readonly port: number
}

/** Whether every step passed. Ends with what it started: the namespace's first process takes all others with it. */
async function runInRoot({ dir, script, log, user, home, results, port }: Entered): Promise<boolean> {
  const file = join(dir, 'tmp', 'steps.sh')
  writeFileSync(file, `${script}\n`, { mode: 0o755 })
  const environment = {
    HOME: user ? home : '/root',
    USER: user ? 'tester' : 'root',
    LANG: 'C.UTF-8',
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    CI: '1',
    ...npmEnvironment(),
    ...(port === DEFAULT_PORT ? {} : { CARTLOAD_PORT: String(port) }),
  }
  const inside = [...(user ? ['--userspec=tester:tester'] : []), dir, '/usr/bin/env', '-i']
  const pairs = Object.entries(environment).map(([key, value]) => `${key}=${value}`)
  const mounts = 'mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/run" && shift && exec chroot "$@"'
  const child = spawn(
    'unshare',
    [
      '--mount',
      '--pid',
      '--ipc',
      '--fork',
      '--kill-child',
      `--mount-proc=${join(dir, 'proc')}`,
      'sh',
      '-euc',
      mounts,
      'sh',
      dir,
      ...inside,
      ...pairs,
      'sh',
      '/tmp/steps.sh',
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const end = () => child.kill('SIGKILL')
  process.once('exit', end)
  let current: { name: string; since: number } | undefined
  const accept = (line: string) => {
    appendFileSync(log, `${line}\n`)
    if (line.startsWith(`${MARK}begin `)) current = { name: line.slice(MARK.length + 6), since: performance.now() }
    if (!line.startsWith(`${MARK}end `) || !current) return
    const seconds = Math.round((performance.now() - current.since) / 1000)
    const passed = line.endsWith(' 0')
    results.push({ name: current.name, seconds, passed })
    console.log(`${passed ? '✓' : '✗'} ${current.name.padEnd(40)} ${seconds} s`)
    current = undefined
  }
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', accept)
  const code = await new Promise<number | null>(done => child.once('close', done))
  process.off('exit', end)
  if (code === 0) return true
  if (current)
    results.push({ name: current.name, seconds: Math.round((performance.now() - current.since) / 1000), passed: false })
  console.log(readFileSync(log, 'utf8').trim().split('\n').slice(-25).join('\n'))
  if (results.every(({ passed }) => passed)) throw new CommandError(`the root could not be entered: see ${log}`)
  return false
}

/** What npm is told on this machine by its settings; none of it is written down here. */
function npmEnvironment(): Record<string, string> {
  const get = (key: string) => execFileSync('npm', ['config', 'get', key], { encoding: 'utf8', cwd: '/' }).trim()
  const known = ['registry', 'cafile', 'proxy', 'https-proxy'].map(
    key => [`npm_config_${key.replace('-', '_')}`, get(key)] as const,
  )
  const proxies = Object.entries(process.env).filter(([key]) => /^(https?|no)_proxy$/i.test(key))
  return Object.fromEntries([
    ...known.filter(([, value]) => value !== '' && value !== 'null'),
    ...(proxies as [string, string][]),
  ])
}

function copyNpmSettings(home: string): void {
  const file = join(homedir(), '.npmrc')
  if (existsSync(file)) writeFileSync(join(home, '.npmrc'), readFileSync(file), { mode: 0o600 })
}

const DEFAULT_PORT = 8080

/** The network is this machine's: where its 8080 is taken, another one. */
async function freePort(): Promise<number> {
  for (let port = DEFAULT_PORT; port < 20_000; port += 1_000) {
    const wanted = [0, 100, 101, 200, 201, 300, 301, 400, 401].map(offset => port + offset)
    if (!(await Promise.all(wanted.map(each => isListening(each)))).includes(true)) return port
  }
  throw new CommandError('no free range of ports')
}

process.exit(await runCommand(command, process.argv.slice(2)))

import { type ExecFileOptions, execFile } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/**
 * Finds the server programs, and gets the missing ones: with apt, as root into the system (their daemons kept from
 * starting), as an ordinary user downloaded and unpacked into the data folder. Elsewhere it says what to install.
 */
export type ProgramName = 'nginx' | 'redis' | 'mariadb' | 'chromium' | 'wrk'

export interface Program {
  readonly name: ProgramName
  /** Absolute path of the server binary. */
  readonly path: string
  /** Root of an unpacked tree (`usr` below it) that the program's libraries and files must be looked up in. */
  readonly root: string | undefined
}

interface Recipe {
  /** The first that is installed is taken. */
  readonly binaries: readonly string[]
  readonly debian: readonly string[]
  /** Taken in place of `debian` where the system has it. */
  readonly debianPreferred?: string
  readonly brew: string
  readonly dnf: string
  readonly apk: string
}

const RECIPES: Record<ProgramName, Recipe> = {
  nginx: { binaries: ['nginx'], debian: ['nginx-light'], brew: 'nginx', dnf: 'nginx', apk: 'nginx' },
  redis: {
    binaries: ['valkey-server', 'redis-server'],
    debian: ['redis-server'],
    debianPreferred: 'valkey-server',
    brew: 'valkey',
    dnf: 'valkey',
    apk: 'valkey',
  },
  mariadb: {
    binaries: ['mariadbd', 'mysqld'],
    debian: ['mariadb-server-core', 'mariadb-client-core'],
    brew: 'mariadb',
    dnf: 'mariadb-server',
    apk: 'mariadb',
  },
  chromium: {
    binaries: ['chromium', 'chromium-browser', 'google-chrome'],
    debian: ['chromium'],
    brew: 'chromium',
    dnf: 'chromium',
    apk: 'chromium',
  },
  wrk: { binaries: ['wrk'], debian: ['wrk'], brew: 'wrk', dnf: 'wrk', apk: 'wrk' },
}

export class MissingPrograms extends Error {
  override readonly name = 'MissingPrograms'
}

export type Say = (text: string) => void

/** @throws MissingPrograms with one message that names each missing program and how to get it */
export async function findOrInstall(
  names: readonly ProgramName[],
  dataDir: string,
  say: Say,
): Promise<Map<ProgramName, Program>> {
  const root = join(dataDir, 'programs')
  let { found, missing } = find(names, root)
  if (missing.length === 0) return found
  if (!findProgram('apt-get')) throw new MissingPrograms(advice(missing))
  try {
    if (process.getuid?.() === 0) await installAsRoot(missing, say)
    else await unpackAsUser(missing, root, say)
  } catch (error) {
    throw new MissingPrograms(
      `${advice(missing)}\n\napt said: ${String((error as { stderr?: string }).stderr ?? error).trim()}`,
    )
  }
  ;({ found, missing } = find(names, root))
  if (missing.length > 0) throw new MissingPrograms(advice(missing))
  return found
}

/** What a program that was unpacked rather than installed needs in its environment. */
export function environmentOf(program: Program): Record<string, string> {
  if (program.root === undefined) return {}
  const libraries = ['usr/lib', 'lib'].flatMap(dir => {
    const path = join(program.root ?? '', dir)
    if (!existsSync(path)) return []
    return [
      path,
      ...readdirSync(path)
        .filter(name => name.endsWith('-linux-gnu'))
        .flatMap(name => [join(path, name), join(path, name, 'pulseaudio')]), // Chromium's, in a folder of their own
    ]
  })
  return { LD_LIBRARY_PATH: libraries.join(':') }
}

/** The program that makes a MariaDB data folder, where the server is MariaDB. */
export function companionOf(program: Program, names: readonly string[]): string | undefined {
  return search(names, program.root ? [join(program.root, 'usr/bin')] : searchPath())
}

/** A program on PATH, or in one of these folders. */
export function findProgram(name: string, dirs: readonly string[] = []): string | undefined {
  return search([name], [...searchPath(), ...dirs])
}

function find(names: readonly ProgramName[], root: string) {
  const found = new Map<ProgramName, Program>()
  const missing: ProgramName[] = []
  const unpacked = ['usr/sbin', 'usr/bin', 'bin'].map(dir => join(root, dir))
  for (const name of names) {
    const installed = search(RECIPES[name].binaries, searchPath())
    const local = installed ? undefined : search(RECIPES[name].binaries, unpacked)
    if (installed) found.set(name, { name, path: installed, root: undefined })
    else if (local) found.set(name, { name, path: local, root })
    else missing.push(name)
  }
  return { found, missing }
}

/** PATH, and where servers are installed that ordinary users do not have on it. */
function searchPath(): string[] {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter(dir => dir !== '')
  return [...path, '/usr/sbin', '/usr/local/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/opt/homebrew/bin']
}

function search(binaries: readonly string[], dirs: readonly string[]): string | undefined {
  for (const binary of binaries) {
    for (const dir of dirs) {
      const path = join(dir, binary)
      try {
        accessSync(path, constants.X_OK)
        return path
      } catch {
        // not here
      }
    }
  }
  return undefined
}

function advice(missing: readonly ProgramName[]): string {
  const get = (tool: 'brew' | 'dnf' | 'apk') => missing.map(name => RECIPES[name][tool]).join(' ')
  return [
    `Missing: ${missing.join(', ')}. cartload can install them by itself only on Debian and Ubuntu. Get them with one of`,
    `  brew install ${get('brew')}`,
    `  sudo dnf install ${get('dnf')}`,
    `  sudo apk add ${get('apk')}`,
    `  sudo apt-get install ${missing.flatMap(name => RECIPES[name].debian).join(' ')}`,
    'or use servers that you have: see CARTLOAD_SHARDS and its companions in .env.example.',
  ].join('\n')
}

const QUIET = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }
const POLICY = '/usr/sbin/policy-rc.d'

async function installAsRoot(names: readonly ProgramName[], say: Say): Promise<void> {
  // Debian starts a daemon as soon as it is installed, unless this file forbids it. Ours are private and on other ports.
  const ours = !existsSync(POLICY)
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const install = async () => {
      const packages = await packagesOf(names)
      say(`installing ${packages.join(', ')} with apt`)
      await run('apt-get', ['install', '-y', '--no-install-recommends', ...packages])
    }
    if (!(await hasLists())) await run('apt-get', ['update'])
    await install().catch(async () => {
      await run('apt-get', ['update'])
      await install()
    })
    if (existsSync('/run/systemd/system')) {
      for (const unit of ['nginx', 'redis-server', 'valkey-server'])
        await run('systemctl', ['disable', unit]).catch(() => undefined)
    }
  } finally {
    if (ours) rmSync(POLICY, { force: true })
  }
}

/** Whether apt knows of any package that is not installed: images come without lists. */
async function hasLists(options: readonly string[] = []): Promise<boolean> {
  return (await output('apt-cache', [...options, 'policy', 'nginx'])).includes('Candidate:')
}

/** The Debian packages of some programs: the preferred one where the lists have it. */
async function packagesOf(names: readonly ProgramName[], options: readonly string[] = []): Promise<string[]> {
  const packages = await Promise.all(
    names.map(async name => {
      const { debian, debianPreferred } = RECIPES[name]
      if (debianPreferred === undefined) return debian
      const policy = await output('apt-cache', [...options, 'policy', debianPreferred])
      return /Candidate: (?!\(none\))/.test(policy) ? [debianPreferred] : debian
    }),
  )
  return packages.flat()
}

async function unpackAsUser(names: readonly ProgramName[], root: string, say: Say): Promise<void> {
  const apt = join(root, 'apt')
  const archives = join(apt, 'archives')
  mkdirSync(join(archives, 'partial'), { recursive: true })
  const own = ['-o', 'Debug::NoLocking=1', '-o', `Dir::Cache=${apt}`, '-o', `Dir::Cache::archives=${archives}`]
  // -d downloads what is missing on this machine, dependencies included, and installs nothing.
  const download = async (options: string[]) => {
    const packages = await packagesOf(names, [...own, ...options])
    say(`downloading ${packages.join(', ')} with apt, for this folder only`)
    await run('apt-get', [...own, ...options, '-y', '-d', '--no-install-recommends', 'install', ...packages])
  }
  const update = async () => {
    const lists = join(apt, 'lists')
    mkdirSync(join(lists, 'partial'), { recursive: true })
    const options = ['-o', `Dir::State::lists=${lists}`]
    await run('apt-get', [...own, ...options, 'update'])
    return options
  }
  if (await hasLists(own)) await download([]).catch(async () => download(await update()))
  else await download(await update())
  for (const file of readdirSync(archives).filter(name => name.endsWith('.deb'))) {
    await run('dpkg-deb', ['-x', join(archives, file), root])
  }
  rmSync(apt, { recursive: true, force: true })
  // The server is one binary under several names; an absolute link would lead out of the unpacked tree.
  for (const kind of ['redis', 'valkey']) {
    const server = join(root, `usr/bin/${kind}-server`)
    if (existsSync(join(root, `usr/bin/${kind}-check-rdb`)) && !existsSync(server))
      symlinkSync(`${kind}-check-rdb`, server)
  }
}

async function output(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, [...args], { env: { ...process.env, ...QUIET } })
  return stdout
}

async function run(command: string, args: readonly string[], options: ExecFileOptions = {}): Promise<void> {
  await promisify(execFile)(command, [...args], {
    ...options,
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, ...QUIET },
  })
}

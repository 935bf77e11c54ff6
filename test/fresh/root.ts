import { execFile, execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CommandError } from '../../src/cli/command.ts'
import { findProgram, type Say } from '../../src/stack/programs.ts'

/** Roots of Debian releases: made once by debootstrap and copied for each run. The mirror and what apt is told are this machine's. */
export const RELEASES = { debian12: 'bookworm', debian13: 'trixie' } as const
export type Release = keyof typeof RELEASES

interface RootOptions {
  /** Where the bases are kept. */
  readonly work: string
  /** Where the root goes. */
  readonly dir: string
  readonly backports: boolean
  readonly say: Say
}

const run = (program: string, ...args: string[]) => promisify(execFile)(program, args, { maxBuffer: 64 * 1024 * 1024 })

/** @throws CommandError when debootstrap or a Debian mirror is not there */
export async function createRoot(release: Release, { work, dir, backports, say }: RootOptions): Promise<void> {
  const base = join(work, `${release}.base`)
  const mirrors = mirrorsOf()
  if (!existsSync(base)) {
    await findDebootstrap(say)
    say('debootstrap (about a minute, once)')
    const making = `${base}.making`
    rmSync(making, { recursive: true, force: true })
    await run('debootstrap', '--variant=minbase', '--include=ca-certificates', RELEASES[release], making, mirrors.main)
    renameSync(making, base)
  }
  rmSync(dir, { recursive: true, force: true })
  await run('cp', '-a', '--reflink=auto', base, dir)
  const code = RELEASES[release]
  const suites = [`${mirrors.main} ${code} main`, `${mirrors.main} ${code}-updates main`]
  if (mirrors.security) suites.push(`${mirrors.security} ${code}-security main`)
  if (backports) suites.push(`${mirrors.main} ${code}-backports main`)
  writeFileSync(join(dir, 'etc/apt/sources.list'), suites.map(suite => `deb ${suite}\n`).join(''))
  copySettings(dir)
}

async function findDebootstrap(say: Say): Promise<void> {
  if (findProgram('debootstrap')) return
  say('installing debootstrap with apt')
  const install = () => run('apt-get', 'install', '-y', '--no-install-recommends', 'debootstrap')
  await install().catch(async () => {
    await run('apt-get', 'update')
    await install()
  })
}

/** Where this machine's apt gets Debian from. */
function mirrorsOf(): { main: string; security: string | undefined } {
  const targets = () => execFileSync('apt-get', ['indextargets', '--format', '$(REPO_URI)'], { encoding: 'utf8' })
  const uris = [...new Set(targets().split('\n'))]
  const main = uris.find(uri => /\/debian\/?$/.test(uri))
  if (!main) throw new CommandError("no Debian mirror is known: apt's sources have none")
  return { main, security: uris.find(uri => /\/debian-security\/?$/.test(uri)) }
}

/** Proxy, certificates and names, as this machine has them. */
function copySettings(dir: string): void {
  for (const folder of ['apt.conf.d', 'auth.conf.d']) {
    const from = join('/etc/apt', folder)
    if (existsSync(from))
      cpSync(from, join(dir, 'etc/apt', folder), { recursive: true, filter: path => !path.includes('docker') })
  }
  for (const file of ['/etc/resolv.conf', '/etc/hosts', '/etc/apt/apt.conf', '/etc/npmrc']) {
    if (!existsSync(file)) continue
    rmSync(join(dir, file), { force: true })
    copyFileSync(file, join(dir, file))
  }
  const own = '/usr/local/share/ca-certificates'
  if (existsSync(own)) cpSync(own, join(dir, own), { recursive: true })
  const bundle = '/etc/ssl/certs/ca-certificates.crt'
  mkdirSync(join(dir, '/etc/ssl/certs'), { recursive: true })
  if (existsSync(bundle)) copyFileSync(bundle, join(dir, bundle))
}

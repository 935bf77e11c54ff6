import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { environmentOf, findOrInstall } from '../../src/stack/programs.ts'
import { PROJECT } from './servers.ts'

/** A real Chromium; undefined where there is none and none can be installed. */
export async function startBrowser(): Promise<Browser | undefined> {
  const found = await findOrInstall(['chromium'], join(PROJECT, '.cartload'), () => undefined).catch(() => undefined)
  const program = found?.get('chromium')
  if (!program) return undefined
  const { path, root } = program
  // The command is a script that looks for the browser where a package puts it; an unpacked one is elsewhere.
  const executablePath = root === undefined ? path : join(root, 'usr', 'lib', 'chromium', 'chromium')
  const fonts = root === undefined ? {} : { FONTCONFIG_FILE: fontsOf(root) }
  const env = { ...process.env, ...environmentOf(program), ...fonts }
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ]
  return chromium.launch({ executablePath, args, env })
}

/** The fonts of an unpacked tree, without which Chromium ends at the first page. */
function fontsOf(root: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'cartload-fonts-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'fonts.conf')
  writeFileSync(
    file,
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${join(root, 'usr', 'share', 'fonts')}</dir><cachedir>${folder}</cachedir></fontconfig>
`,
  )
  return file
}

export interface Opened {
  readonly page: Page
  /** What the console and the page complained of. */
  readonly complaints: readonly string[]
  /** What was asked of others than `url`. */
  readonly elsewhere: readonly string[]
}

export async function open(browser: Browser, url: string, own: string): Promise<Opened> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  const complaints: string[] = []
  const elsewhere: string[] = []
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', error => complaints.push(error.message))
  page.on('request', request => {
    if (!request.url().startsWith(own) && !request.url().startsWith('data:')) elsewhere.push(request.url())
  })
  await page.goto(url, { waitUntil: 'networkidle' })
  return { page, complaints, elsewhere }
}

/** Kept with the coverage, to be looked at. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(join(PROJECT, 'coverage'), { recursive: true })
  await page.screenshot({ path: join(PROJECT, 'coverage', `${name}.png`), fullPage: true })
}

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Browser, chromium } from 'playwright-core'
import { findOrInstall } from '../../src/stack/programs.ts'
import { startApp, type TestApp } from '../support/app.ts'
import { PROJECT } from '../support/servers.ts'

/** The pages in a real browser: they show what they should, fetch nothing elsewhere, and the console stays empty. */
describe('the pages', function () {
  this.timeout(120_000)
  let app: TestApp
  let browser: Browser

  before(async function () {
    const found = await findOrInstall(['chromium'], join(PROJECT, '.cartload'), () => undefined).catch(() => undefined)
    const executablePath = found?.get('chromium')?.path
    if (!executablePath) {
      console.log('      skipped: there is no Chromium, and it could not be installed')
      this.skip()
    }
    app = await startApp()
    const args = [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ]
    browser = await chromium.launch({ executablePath, args })
  })
  after(async () => {
    await browser?.close()
    await app?.close()
  })

  async function open(path: string) {
    const page = await browser.newPage()
    const complaints: string[] = []
    const elsewhere: string[] = []
    page.on('console', message => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
    })
    page.on('pageerror', error => complaints.push(error.message))
    page.on('request', request => {
      if (!request.url().startsWith(app.url) && !request.url().startsWith('data:')) elsewhere.push(request.url())
    })
    await page.goto(app.url + path, { waitUntil: 'networkidle' })
    return { page, complaints, elsewhere }
  }

  it('the API page shows every operation', async () => {
    const { page, complaints, elsewhere } = await open('/docs')
    await page.waitForSelector('.opblock')
    expect(await page.locator('.opblock').count()).to.equal(34)
    mkdirSync(join(PROJECT, 'coverage'), { recursive: true })
    await page.screenshot({ path: join(PROJECT, 'coverage', 'api-page.png') })
    expect(complaints).to.deep.equal([])
    expect(elsewhere).to.deep.equal([])
  })

  it('the API page tries an operation out against this server', async () => {
    const { page } = await open('/docs')
    await page.locator('#operations-Catalogue-listProducts .opblock-summary-control').click()
    await page.locator('#operations-Catalogue-listProducts button.execute').click()
    await page.waitForSelector('#operations-Catalogue-listProducts .responses-table.live-responses-table')
    expect(
      await page
        .locator('#operations-Catalogue-listProducts .live-responses-table tbody .response-col_status')
        .first()
        .innerText(),
    ).to.include('200')
  })

  it('the page of error codes names each one', async () => {
    const { page, complaints } = await open('/docs/errors')
    expect(await page.locator('tr#version_mismatch').innerText()).to.include('412')
    expect(complaints).to.deep.equal([])
  })
})

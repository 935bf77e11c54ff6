import { expect } from 'chai'
import type { Browser } from 'playwright-core'
import { startApp, type TestApp } from '../support/app.ts'
import { open, screenshot, startBrowser } from '../support/browser.ts'
import { clientOf } from '../support/client.ts'

/** The pages in a real browser: they show what they should, fetch nothing elsewhere, and the console stays empty. */
describe('the pages', function () {
  this.timeout(300_000)
  let app: TestApp
  let browser: Browser

  before(async function () {
    const started = await startBrowser()
    if (!started) {
      console.log('      skipped: there is no Chromium, and it could not be installed')
      this.skip()
    }
    browser = started
    app = await startApp()
  })
  after(async () => {
    await browser?.close()
    await app?.close()
  })

  const openPage = (path: string) => open(browser, app.url + path, app.url)

  it('the API page shows every operation', async () => {
    const { page, complaints, elsewhere } = await openPage('/docs')
    await page.waitForSelector('.opblock')
    const { body } = await clientOf(app.url).get('/openapi.json')
    const operations = Object.values(body.paths as Record<string, object>).flatMap(methods => Object.keys(methods))
    expect(operations.length).to.be.above(30)
    expect(await page.locator('.opblock').count()).to.equal(operations.length)
    await screenshot(page, 'api-page')
    expect(complaints).to.deep.equal([])
    expect(elsewhere).to.deep.equal([])
  })

  it('the API page tries an operation out against this server', async () => {
    const { page } = await openPage('/docs')
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
    const { page, complaints } = await openPage('/docs/errors')
    expect(await page.locator('#version_mismatch').innerText()).to.include('412')
    expect(complaints).to.deep.equal([])
  })
})

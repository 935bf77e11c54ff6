import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'
import type { Browser } from 'playwright-core'
import type { Result } from '../../load-tests/runner/result.ts'
import { open, screenshot, startBrowser } from '../support/browser.ts'
import { type Cluster, createCluster } from '../support/cluster.ts'

const SCENARIOS = [
  'view-cart',
  'shop',
  'boutique',
  'teastore',
  'login-storm',
  'big-carts',
  'hot-cart',
  'flash-sale',
  'retry-storm',
  'replay',
  'soak',
] as const

/** Run in the page: how many pixels of each chart have the very colour of a line; axes and their texts are grey. */
const DRAWN = `[...document.querySelectorAll('[data-chart] canvas')].map(canvas => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  let drawn = 0
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.subarray(at, at + 4)
    if (alpha > 100 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) drawn++
  }
  return drawn
})`

describe('the load scenarios, through nginx on a cluster that was just seeded', function () {
  this.timeout(300_000)
  let cluster: Cluster
  let out: string

  before(async function () {
    this.timeout(1_800_000)
    // What is measured while its coverage is recorded says little; the code has its own tests.
    // Its times are told by npm run load on a quiet machine; here a run is held to what answers say.
    cluster = await createCluster({ NODE_V8_COVERAGE: undefined, P99_MS: '20000' })
    await cluster.up()
    out = join(cluster.dataDir, 'reports')
    mkdirSync(out)
  })
  after(() => cluster?.remove())

  async function load(...args: string[]) {
    const { code, stdout, stderr } = await cluster.node(
      'load-tests/runner/load.ts',
      ...args,
      '--with',
      'executor',
      '--out',
      out,
    )
    const [newest = ''] = readdirSync(out)
      .filter(file => file.endsWith('.json'))
      .sort()
      .toReversed()
    const summary = () => JSON.parse(readFileSync(join(out, newest), 'utf8')) as Result
    return { code, said: `${stdout}\n${stderr}`, summary, html: join(out, newest.replace('.json', '.html')) }
  }

  for (const scenario of SCENARIOS) {
    it(`${scenario} passes its checks and thresholds`, async () => {
      const { code, said, summary } = await load(scenario, '--profile', 'smoke', '--duration', '3s')
      expect(code, said).to.equal(0)
      const { totals, thresholds, failedChecks, counters, samples, ...about } = summary()
      expect(about.scenario).to.equal(scenario)
      expect(totals.requests).to.be.above(10)
      expect(totals.checks).to.be.above(totals.requests)
      expect(failedChecks).to.deep.equal([])
      expect(thresholds.length).to.be.at.least(4)
      expect(thresholds.filter(({ held }) => !held)).to.deep.equal([])
      expect(samples.values).to.include.keys(
        'cpu instance 0',
        'cpu instance 1',
        'cpu nginx',
        'cpu redis-cache',
        'cpu shard-0',
      )
      if (scenario === 'retry-storm') expect(counters['duplicated_writes']).to.equal(0)
      if (scenario === 'hot-cart') expect(counters['lost_adds']).to.equal(0)
      if (scenario === 'flash-sale') expect(counters['units_sold']).to.equal(20)
    })
  }

  it('fail when a threshold does not hold (the control), and the verdict says which', async () => {
    const { code, said, summary } = await load('flash-sale', '--profile', 'smoke', '--units', '5000')
    expect(code, '5,000 units cannot be sold to 40 buyers').to.equal(1)
    expect(said).to.match(/FAILED: flash-sale, smoke, .*units_sold count==5000/)
    expect(summary().failedChecks.map(({ name }) => name)).to.deep.equal(['sale: nothing is left'])
  })

  it('say what is wrong with the command line, and with a shop that is not there', async () => {
    const wrong = await load('no-such-scenario')
    expect(wrong.code).to.equal(2)
    expect(wrong.said).to.include('say which scenario')
    const profile = await load('shop', '--profile', 'huge')
    expect([profile.code, profile.said]).to.satisfy(
      ([code, said]: [number, string]) => code === 2 && said.includes('smoke, average'),
    )
    const unreachable = await load('shop', '--url', 'http://127.0.0.1:1')
    expect(unreachable.code).to.equal(1)
    expect(unreachable.said).to.include('nothing answers at http://127.0.0.1:1')
  })

  describe('and the report', () => {
    let browser: Browser | undefined
    before(async function () {
      browser = await startBrowser()
      if (browser) return
      console.log('      skipped: there is no Chromium, and it could not be installed')
      this.skip()
    })
    after(() => browser?.close())

    it('of an average day shows its charts in a real browser, and loads nothing from elsewhere', async () => {
      const { code, said, html, summary } = await load(
        'shop',
        '--profile',
        'average',
        '--duration',
        '5s',
        '--users',
        '20',
      )
      expect(code, said).to.equal(0)
      const url = pathToFileURL(html).href
      const { page, complaints, elsewhere } = await open(browser as Browser, url, url)
      const drawn = await page.evaluate<number[]>(DRAWN)
      const charts = await page.locator('figure').count()
      expect(charts).to.be.at.least(11)
      expect(drawn, 'one picture for each chart').to.have.length(charts)
      expect(Math.min(...drawn), 'pixels of lines').to.be.above(100)
      expect(await page.locator('.verdict').innerText()).to.include('PASSED: shop, average')
      expect(await page.locator('.wide table').first().innerText()).to.include('GET /v1/products')
      await screenshot(page, 'load-report')
      expect(complaints).to.deep.equal([])
      expect(elsewhere).to.deep.equal([])
      expect(summary().samples.at.length).to.be.above(10)
    })

    it('can be compared with another one', async () => {
      const reports = readdirSync(out)
        .filter(file => file.endsWith('shop-average.json'))
        .sort()
      const file = join(out, reports.at(-1) ?? '')
      const same = await cluster.node('load-tests/runner/diff.ts', file, file)
      expect(same.code, same.stderr).to.equal(0)
      expect(same.stdout)
        .to.match(/median time/)
        .and.not.match(/worse|better/)
      expect(same.stdout).to.match(/requests that failed +0 +0 +the same/)
      const missing = await cluster.node('load-tests/runner/diff.ts', file, join(out, 'none.json'))
      expect(missing.code).to.equal(1)
      expect(missing.stderr).to.include('none.json cannot be read')
    })
  })
})

import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CachedPage, PageCache } from '../cache/page-cache.ts'
import { missIfUnavailable } from '../lib/errors.ts'
import { createSingleFlight } from '../lib/single-flight.ts'
import { FIXED } from '../model/limits.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ProductStore } from './product-store.ts'

interface ListingPagesDeps {
  readonly pages: PageCache
  readonly products: Pick<ProductStore, 'version' | 'forgottenBefore'>
  readonly metrics: Metrics
}

/** Makes the body of a page: JSON. */
type MakePage = () => Promise<string>

/**
 * Pages of products, remembered for all instances. A page may be `FIXED.listingAgeMsMax` old once the catalogue has changed: one reader makes
 * it anew while the others get the last one (stale-while-revalidate). Of all requests that miss a page, over all instances, one makes it.
 */
export class ListingPages {
  readonly #deps: ListingPagesDeps
  readonly #flights = createSingleFlight<CachedPage>()

  constructor(deps: ListingPagesDeps) {
    this.#deps = deps
  }

  /** @throws what `make` throws */
  async get(request: string, make: MakePage): Promise<CachedPage> {
    const page = await this.#look(request)
    if (page && this.#isGood(page)) {
      const isCurrent = this.#isCurrent(page)
      this.#deps.metrics.pageReads.inc({ result: isCurrent ? 'hit' : 'stale' })
      if (!isCurrent && ageMsOf(page) > FIXED.listingAgeMsMax / 2) this.#makeBeside(page, request, make)
      return page
    }
    return this.#flights.run(request, () =>
      page === null ? this.#makeAlone('degraded', make) : this.#makeOnce(request, make),
    )
  }

  /** Beside the answer: what fails here is tried again by the next reader. */
  #makeBeside(old: CachedPage, request: string, make: MakePage): void {
    const work = async () => ((await this.#deps.pages.claim(request)) ? this.#makeClaimed(request, make) : old)
    this.#flights.run(`again:${request}`, work).catch(() => undefined)
  }

  async #makeOnce(request: string, make: MakePage): Promise<CachedPage> {
    const isOurs = await this.#deps.pages.claim(request).catch(missIfUnavailable)
    if (isOurs === undefined) return this.#makeAlone('degraded', make)
    if (isOurs) return this.#makeClaimed(request, make)
    for (let looks = 0; looks < FIXED.catalogMakingLooks; looks++) {
      await sleep(FIXED.catalogLookMs)
      const page = await this.#look(request)
      if (page && this.#isGood(page)) return page
    }
    return this.#makeAlone('unfilled', make)
  }

  async #makeClaimed(request: string, make: MakePage): Promise<CachedPage> {
    const { pages } = this.#deps
    try {
      const made = await this.#look(request)
      if (made && this.#isCurrent(made)) return made // by the previous holder of the claim
      const page = await this.#makeAlone('filled', make)
      await pages.set(request, page).catch(missIfUnavailable)
      return page
    } finally {
      await pages.release(request).catch(missIfUnavailable)
    }
  }

  async #makeAlone(result: 'filled' | 'unfilled' | 'degraded', make: MakePage): Promise<CachedPage> {
    this.#deps.metrics.pageReads.inc({ result })
    const version = this.#deps.products.version
    const body = await make()
    return { version, madeAtMs: Date.now(), etag: etagOf(body), body }
  }

  /** Undefined where there is none; null where the cache does not answer, so that nothing more is asked of it. */
  #look(request: string): Promise<CachedPage | undefined | null> {
    return this.#deps.pages.get(request).catch((error: unknown) => missIfUnavailable(error) ?? null)
  }

  #isCurrent({ version }: CachedPage): boolean {
    return version >= this.#deps.products.version
  }

  #isGood(page: CachedPage): boolean {
    if (page.version < this.#deps.products.forgottenBefore()) return false
    return this.#isCurrent(page) || ageMsOf(page) < FIXED.listingAgeMsMax
  }
}

/** Names a content. */
export const etagOf = (body: string): string => `"${hash('sha1', body, 'base64url')}"`

/** Clocks of instances may differ a little: what seems to come from the future is as old as it is ahead. */
const ageMsOf = ({ madeAtMs }: CachedPage): number => Math.abs(Date.now() - madeAtMs)

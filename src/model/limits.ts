import { strict as assert } from 'node:assert'

/**
 * Every limit of the system, units last. What an operator may change comes from the environment (config/env.ts names the
 * variable); the rest is fixed here. Relations that must hold between limits are asserted when the process starts.
 */
export interface Limits {
  readonly cartLinesMax: number
  readonly lineQuantityMax: number
  readonly pageLinesDefault: number
  readonly pageLinesMax: number
  readonly bodyBytesMax: number
  readonly mysqlConnectionsMax: number
  readonly mysqlQueueMax: number
  readonly mysqlWaitMsMax: number
  readonly statementMsMax: number
  readonly passwordChecksMax: number
  readonly loginsWaitingMax: number
  readonly pricingQueueMax: number
  readonly inFlightMax: number
}

export const DEFAULT_LIMITS: Limits = {
  cartLinesMax: 500,
  lineQuantityMax: 999,
  pageLinesDefault: 20,
  pageLinesMax: 100,
  bodyBytesMax: 64 * 1024,
  mysqlConnectionsMax: 8,
  mysqlQueueMax: 512,
  mysqlWaitMsMax: 1500,
  statementMsMax: 3000,
  passwordChecksMax: 1,
  loginsWaitingMax: 100,
  pricingQueueMax: 512,
  inFlightMax: 2000,
}

export const FIXED = {
  skuCharsMax: 64,
  productNameCharsMax: 200,
  categoryCharsMax: 100,
  tagsCharsMax: 500,
  noteCharsMax: 200,
  emailCharsMax: 254,
  personNameCharsMax: 100,
  passwordCharsMin: 8,
  passwordCharsMax: 256,
  searchCharsMax: 64,
  cursorCharsMax: 2_000,
  idempotencyKeyCharsMax: 255,
  idempotencyKeepHours: 48,
  mergeUndoHours: 24,
  /** An account shows the orders of so many guests that it has been, the latest ones. */
  mergedGuestsMax: 20,
  sessionsPerUserMax: 100,
  priceMinorMax: 100_000_000,

  promotionsMax: 500,
  /** Promotions of a rule set that may take some units of a line and not others. */
  promotionsOfPartsMax: 64,
  promotionIdCharsMax: 64,
  promotionNameCharsMax: 200,
  promotionNamesMax: 5_000,
  promotionTiersMax: 20,
  promotionUnitsMax: 1_000_000,
  /**
   * Members of a group that excludes by line try every way to share lines out where ways times members times lines of the cart
   * are at most this, and a few ways beyond.
   */
  lineSharesMax: 1_500,
  /** A set promotion tries every grouping where numbers of units left times subsets of products are at most this ... */
  setStatesMax: 200_000,
  /** ... and beyond it looks within these for a better grouping than the largest sets first. */
  setLayersMax: 12,
  setMovesMax: 128,
  codeCharsMax: 64,
  /** Codes that a promotion lists itself; pools hold more. */
  codesOfPromotionMax: 1_000,
  codesOfPoolMax: 1_000_000,
  codeRows: 2_000,
  /** Possible codes per generated code; this many make guessing hopeless. */
  codesPossiblePerCode: 1e9,
  /** Codes that one cart holds. */
  codesMax: 10,

  /** Lines of one chunk of a cached cart; the default page is exactly one chunk. */
  chunkLines: 20,
  /** How long a cached cart lives; a safety net, not part of the protocol. */
  cartValueMs: 15 * 60_000,
  fenceMs: 10_000,
  leaseMs: 3_000,
  /** A fence this old has lost its writer; a reader may resolve it under a share lock. */
  fenceAbandonedMs: 2_500,
  /** How long a reader waits for another one's fill, by attempt, before it asks the database too. */
  busyWaitsMs: [8, 16, 32, 64, 128],

  /** The lease an instance holds on "the cache of this shard is on" (reliability protocol, step 9). */
  cacheModeLeaseMs: 1_500,
  cacheModePollMs: 500,
  cacheModeOffMsMin: 3_000,

  catalogPollMs: 1_000,
  catalogPageMs: 60_000,
  /** A page of products may be this old where the catalogue has changed since; from half of it on it is made anew beside the answers. */
  listingAgeMsMax: 2_000,
  /** For how long one instance is left alone with making a page, and how often the others look for it. */
  catalogMakingMs: 1_000,
  catalogMakingLooks: 20,
  catalogLookMs: 15,
  /** Products that are read at once, and changes of products. */
  catalogLoadRows: 500,
  catalogChangeRows: 5_000,
  /** Products of which an instance keeps the version that changed them last. */
  catalogChangesMax: 200_000,
  /** So many changed products at once are a bulk change; what follows within the gap is part of it. */
  bulkProductsMin: 1_000,
  bulkGapMs: 10_000,
  /** Products that an instance reads at its start, and how often the list of them is written. */
  recentProductsMax: 5_000,
  recentProductsEveryMs: 30_000,
  /** How long products stay in the cache Redis after they were read. */
  productCacheMs: 60 * 60_000,

  redisCacheMsMax: 200,
  redisSessionsMsMax: 500,
  redisConnectMsMax: 1_000,
  breakerFailures: 5,
  breakerOpenMs: 500,
  slotMapRetryMs: 1_000,
  mysqlConnectMsMax: 1_500,
  lockWaitS: 1,
  idleTransactionS: 2,
  preparedStatementsMax: 100,

  writeAttemptsMax: 12,
  /** Changes of carts that one transaction writes together, the lines that each may change then, and how many may wait for their turn. */
  groupCartsMax: 64,
  groupedLinesMax: 20,
  groupWaitingMax: 5_000,
  /** For how long a group keeps the next one waiting. */
  groupPatienceMs: 50,
  /** Carts that were found changed elsewhere too, and for how long their changes go alone. */
  contendedCartsMax: 10_000,
  contendedMs: 1_000,
  transactionAttemptsMax: 4,
  userIdBlock: 1_000,
  reservationAbandonedS: 10,

  passwordWaitMsMax: 5_000,
  loginFreeFailures: 5,
  loginFreeFailuresPerAddress: 100,
  loginDelayMsMax: 15 * 60_000,
  loginWindowS: 60 * 60,
  newPerAddressPerMinute: { guests: 6_000, accounts: 3_000 },

  pricingMsMax: 1_000,
  /** Added to the priority number of the threads. */
  pricingNice: 10,
  /** Carts of one task for a thread. */
  pricingBatchMax: 16,
  /** Products that a thread keeps. */
  pricingProductsMax: 10_000,
  /** Results that an instance remembers. */
  pricingMemoMax: 1_000,
  /** Effort for one cart, in cells touched: 20 ms on a slow core (docs/performance.md). Counted, not timed: prices are the same everywhere. */
  pricingWorkMax: 120_000,
  /** Lines times promotions up to which a cart is priced where it is asked for, without a thread. */
  pricingInlineMax: 150,
  rulesPollMs: 1_000,
  ruleSetBytesMax: 4 * 1024 * 1024,
  /** How long a cart that could not be priced waits for another try, at first and at most. */
  repriceRetryMs: 250,
  repriceRetryMsMax: 30_000,
  repriceWaitingMax: 1_000,
  quoteMs: 15 * 60_000,
  quoteCharsMax: 2_000,
  ruleSetsListed: 100,

  /** Stock operations of one item that may wait in one instance, and that go into one transaction. */
  stockQueueMax: 5_000,
  stockBatchMax: 256,
  stockBuckets: 4,
  stockUnitsMax: 1_000_000_000_000,
  /** For how long an instance remembers that an item has run out. */
  soldOutMs: 250,
  stockReadMs: 500,
  stockReadsMax: 10_000,
  /** Items of which an instance remembers that they are nearly gone, or gone. */
  stockTightMax: 10_000,
  /** How long making an order may take, and more for each item; then recovery resolves what it holds. */
  orderMs: 3_500,
  /** How long, and how often, a retry looks for the order that another process is making with its key. */
  orderInFlightWaitMs: 2_000,
  orderInFlightPollMs: 100,
  orderPerItemMs: 20,
  /** A key whose order was given up may be tried this often again, and one that was overtaken by a change of the catalogue. */
  orderAttemptsMax: 8,
  orderLease: 'settlement',
  orderLeaseS: 2,
  settleEveryMs: 300,
  settleBatchMax: 200,
  /** What cannot be recovered now is tried again after this. */
  putOffS: 3,
  /** Rows that a check looks up at once. */
  checkAtOnceMax: 4,
  refundsPerOrderMax: 50,
  ordersPageMax: 100,
  /** Orders of one buyer that wait for their payment at once. */
  ordersPendingMax: 20,
  invariantsListedMax: 100,
  /** Items of each shard that one look at the invariants sums. */
  invariantItemsMax: 10_000,
  usagePollMs: 1_000,

  salePollMs: 1_000,
  saleStockMs: 200,
  salesOpenMax: 100,
  /** A place that has come up must be taken within this, and used within the other. */
  admissionUntakenMs: 15_000,
  admissionMs: 60_000,
  queuePollMsMin: 300,
  queuePollMsMax: 5_000,
  /** Places that come up at once at most; more come with the next look at the stock. */
  admitAtOnceMax: 2_000,
  queueKeepS: 24 * 3_600,
  accountAgeMaxS: 10 * 365 * 86_400,
  /** Clocks of machines may differ by this much. */
  clockSkewMs: 60_000,
  touchEveryMs: 60_000,
  /** How long a logout waits for the replicas of the sessions Redis. */
  sessionsReplicaMsMax: 300,
  /** For how long a master that has taken a write is believed (sessions/master-lease.ts). */
  masterLeaseMs: 1_200,
  masterLeasePollMs: 400,
  drainMsMax: 8_000,
  keepAliveMs: 75_000,
} as const

export function checkLimits(limits: Limits): Limits {
  assert(limits.pageLinesDefault <= limits.pageLinesMax, 'the default page is larger than the largest page')
  assert(limits.pageLinesMax <= 1000, 'a page must stay small')
  assert(limits.cartLinesMax <= 5000, 'a cart must fit one cached value')
  assert(FIXED.cacheModePollMs * 2 < FIXED.cacheModeLeaseMs, 'a lease must survive one lost renewal')
  assert(FIXED.masterLeasePollMs * 2 < FIXED.masterLeaseMs, 'a lease must survive one lost renewal')
  assert(FIXED.sessionsReplicaMsMax < FIXED.redisSessionsMsMax, 'a logout hears of missing replicas before it gives up')
  assert(FIXED.fenceAbandonedMs > FIXED.idleTransactionS * 1000, 'a fence is given up only after its transaction is')
  assert(FIXED.fenceMs > FIXED.fenceAbandonedMs, 'a fence must outlive the wait for its writer')
  assert(FIXED.orderMs + FIXED.settleEveryMs + 1_000 < 5_000, 'what a dead process leaves is settled within 5 s')
  assert(FIXED.orderLeaseS * 1000 < FIXED.orderMs, 'another settles before anything is due')
  assert(limits.statementMsMax > FIXED.lockWaitS * 1000, 'a lock wait must end in the server, not in the client')
  return Object.freeze(limits)
}

import { repeat } from '../lib/poll.ts'
import { createSingleFlight } from '../lib/single-flight.ts'
import { FIXED } from '../model/limits.ts'
import { boundariesOf, type RuleSet } from '../model/promotion.ts'
import type { Pricing } from '../pricing/pricing-service.ts'
import type { Database } from '../store/database.ts'
import { ruleSetRows } from '../store/rule-sets.ts'
import type { Log } from '../telemetry/log.ts'
import { createFailureLog } from '../telemetry/outages.ts'

/**
 * Keeps an instance on the rules in force. What is in force changes when a version is activated and when a promotion starts or
 * ends; the time of the last such change is the *stamp*, the same on every instance, which carts carry as they carry the
 * version of the catalogue. Until the global database answers again, the instance goes on with the rules it has.
 */
export interface RulesWatch {
  /** Makes sure that prices are not of older rules than ones that were shown already. */
  atLeast(stamp: number): Promise<void>
  /** Looks now instead of within a second. */
  refresh(): Promise<void>
  stop(): void
}

export async function watchRules(global: Database, pricing: Pricing, log: Log): Promise<RulesWatch> {
  const flight = createSingleFlight<void>()
  let fromMs = 0

  async function load(): Promise<void> {
    const now = new Date()
    const active = await ruleSetRows.active(global, now)
    if (active && (active.version !== pricing.rulesVersion() || active.fromMs !== fromMs)) {
      const ruleSet = await ruleSetRows.load(global, active.version)
      fromMs = active.fromMs
      pricing.useRules(active.version, lastChange(ruleSet, now.getTime()), ruleSet)
      log.info({ version: active.version, promotions: ruleSet.promotions.length }, 'rules loaded')
    } else moveStamp(now.getTime())
  }

  /** The newest of: this version came into force, one of its promotions started or ended. */
  function lastChange(ruleSet: RuleSet, nowMs: number): number {
    return boundariesOf(ruleSet).reduce((last, time) => (time <= nowMs && time > last ? time : last), fromMs)
  }

  function moveStamp(nowMs: number): void {
    const stamp = lastChange(pricing.ruleSet(), nowMs)
    if (stamp > pricing.rulesStamp()) pricing.useStamp(stamp)
  }

  const refresh = () => flight.run('load', load)

  await load().catch(createFailureLog(log, 'the rules could not be loaded yet'))
  const watch = repeat(
    () => {
      // Promotions start and end on time, also while the database is away.
      moveStamp(Date.now())
      return refresh()
    },
    FIXED.rulesPollMs,
    createFailureLog(log, 'the rules could not be checked'),
  )
  return {
    async atLeast(stamp) {
      if (stamp <= pricing.rulesStamp()) return
      await refresh()
      // Another instance's clock is ahead: what it has shown holds here too.
      if (stamp > pricing.rulesStamp()) pricing.useStamp(stamp)
    },
    refresh,
    stop: watch.stop,
  }
}

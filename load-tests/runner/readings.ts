/** What is read once a second of everything that takes part, as it stands: most of it only grows. Pure; sampler.ts reads. */
export interface Reading {
  /** Seconds since 1970. */
  readonly at: number
  /** Seconds on a CPU, by component. */
  readonly cpu: Numbers
  /** Of the thread that everything must pass: the event loop of an instance, Redis's own. */
  readonly mainThread: Numbers
  readonly machine: { readonly busy: number; readonly stolen: number }
  /** Resident MB, by component. */
  readonly memory: Numbers
  /** Metrics of instances, by their whole name: `cartload_cart_reads_total{result="hit"}`. */
  readonly instances: Readonly<Record<string, Numbers>>
  /** How many there should be. */
  readonly instancesAsked: number
  /** Members of INFO, by server. */
  readonly redis: Readonly<Record<string, Numbers>>
  /** Of SHOW GLOBAL STATUS, by server. */
  readonly shards: Readonly<Record<string, Numbers>>
}

export type Numbers = Readonly<Record<string, number>>

/** Values at the ends of the seconds of `at`; null where nothing was read. */
export interface Series {
  readonly at: readonly number[]
  readonly values: Readonly<Record<string, readonly (number | null)[]>>
}

/** The text that Prometheus reads, as numbers. */
export function parseMetrics(text: string): Numbers {
  const numbers: Record<string, number> = {}
  for (const line of text.split('\n')) {
    if (line.startsWith('#') || line === '' || line.includes('_bucket{')) continue
    const space = line.lastIndexOf(' ')
    numbers[line.slice(0, space)] = Number(line.slice(space + 1))
  }
  return numbers
}

/** What happened between two readings. */
export function between(before: Reading, after: Reading, cores: number): Numbers {
  const seconds = after.at - before.at
  const rate = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? undefined : Math.max(0, to - from) / seconds // a restart begins at 0 again
  const found: Record<string, number> = {}
  const put = (name: string, value: number | undefined) => {
    if (value !== undefined && Number.isFinite(value)) found[name] = value
  }

  let known = 0
  for (const [name, cpu] of Object.entries(after.cpu)) {
    const used = rate(before.cpu[name], cpu)
    put(`cpu ${name}`, used)
    known += used ?? 0
  }
  const busy = rate(before.machine.busy, after.machine.busy) ?? 0
  put('cpu others', Math.max(0, busy - known))
  put('machine busy', busy / cores)
  put('machine stolen', (rate(before.machine.stolen, after.machine.stolen) ?? 0) / cores)
  for (const [name, cpu] of Object.entries(after.mainThread)) put(`thread ${name}`, rate(before.mainThread[name], cpu))
  for (const [name, mb] of Object.entries(after.memory)) put(`memory ${name}`, mb)

  instances(before, after, rate, put)
  for (const [name, now] of Object.entries(after.redis)) {
    const then = before.redis[name] ?? {}
    put(`redis commands ${name}`, rate(then['total_commands_processed'], now['total_commands_processed']))
    put(`redis evicted ${name}`, rate(then['evicted_keys'], now['evicted_keys']))
  }
  for (const [name, now] of Object.entries(after.shards)) {
    const then = before.shards[name] ?? {}
    put(`statements ${name}`, rate(then['Questions'], now['Questions']))
    put(`commits ${name}`, rate(then['Handler_commit'], now['Handler_commit']))
    put(`flushes ${name}`, rate(then['Innodb_data_fsyncs'], now['Innodb_data_fsyncs']))
    put(`lock waits ${name}`, rate(then['Innodb_row_lock_waits'], now['Innodb_row_lock_waits']))
    put(`disk reads ${name}`, rate(then['Innodb_buffer_pool_reads'], now['Innodb_buffer_pool_reads']))
    // Milliseconds waited in a second: how many wait at a time.
    const waited = rate(then['Innodb_row_lock_time'], now['Innodb_row_lock_time'])
    put(`waiting for rows ${name}`, waited === undefined ? undefined : waited / 1000)
  }
  return found
}

type Rate = (from: number | undefined, to: number | undefined) => number | undefined
type Put = (name: string, value: number | undefined) => void

function instances(before: Reading, after: Reading, rate: Rate, put: Put): void {
  const names = Object.keys(after.instances)
  for (const name of names)
    put(`loop delay ${name}`, (after.instances[name]?.['cartload_event_loop_delay_p99_seconds'] ?? Number.NaN) * 1000)
  if (names.length === 0) return
  // A sum over those that answered would be too small just when one is too busy to.
  if (names.length < after.instancesAsked || names.some(name => !before.instances[name])) return
  /** Over all instances, the metrics whose names begin so. */
  const grown = (start: string) =>
    names.reduce((sum, name) => {
      const now = after.instances[name] ?? {}
      const then = before.instances[name] ?? {}
      const all = Object.keys(now).filter(metric => metric.startsWith(start))
      return all.reduce((inner, metric) => inner + (rate(then[metric] ?? 0, now[metric]) ?? 0), sum)
    }, 0)
  const summed = (metric: string) => names.reduce((sum, name) => sum + (after.instances[name]?.[metric] ?? 0), 0)

  put('in flight', summed('cartload_http_in_flight'))
  put('shed', grown('cartload_http_shed_total'))
  const share = (metric: string, hits: readonly string[]) =>
    hits.reduce((sum, hit) => sum + grown(`${metric}{result="${hit}"}`), 0) / grown(`${metric}{`)
  put('carts from the cache', share('cartload_cart_reads_total', ['hit']))
  put('pages from the cache', share('cartload_catalog_page_reads_total', ['hit']))
  put('carts loaded', grown('cartload_cart_reads_total{') - grown('cartload_cart_reads_total{result="hit"}'))
  put('cart changes', grown('cartload_cart_writes_total{result="saved"}'))
  put('conflicts', grown('cartload_cart_writes_total{result="conflict"}'))
  put('changes in a transaction', grown('cartload_cart_group_size_sum') / grown('cartload_cart_group_size_count'))
  // Seconds waited in a second: how many wait at a time.
  const pools = new Set(names.flatMap(name => Object.keys(after.instances[name] ?? {})).flatMap(poolOf))
  for (const pool of pools) put(`waiting for ${pool}`, grown(`cartload_pool_wait_seconds_sum{pool="${pool}"}`))
  put('passwords waiting', summed('cartload_passwords_waiting'))
  put('prices waiting', summed('cartload_pricing_queue'))
}

const poolOf = (metric: string): string[] =>
  /^cartload_pool_wait_seconds_sum\{pool="([^"]+)"\}/.exec(metric)?.slice(1) ?? []

export function seriesOf(readings: readonly Reading[], cores: number): Series {
  const pairs = readings.slice(1).map((after, index) => between(readings[index] as Reading, after, cores))
  const names = [...new Set(pairs.flatMap(Object.keys))]
  return {
    at: readings.slice(1).map(({ at }) => at),
    values: Object.fromEntries(names.map(name => [name, pairs.map(pair => pair[name] ?? null)])),
  }
}

import type { Kind, Tags } from '../aggregates.ts'
import { iterationNow } from '../context.ts'
import { declare, sample } from '../samples.ts'

/** The module `k6/metrics`: metrics of the scenario's own. */
class Metric {
  readonly name: string

  constructor(kind: Kind, name: string) {
    declare(name, kind)
    this.name = name
  }

  add(value: number | boolean, tags: Tags = {}): void {
    const scenario = iterationNow()?.scenario ?? ''
    const all = { ...tags, scenario }
    sample(this.name, JSON.stringify(all), all, Number(value))
  }
}

export class Counter extends Metric {
  constructor(name: string) {
    super('counter', name)
  }
}

export class Gauge extends Metric {
  constructor(name: string) {
    super('gauge', name)
  }
}

export class Rate extends Metric {
  constructor(name: string) {
    super('rate', name)
  }
}

export class Trend extends Metric {
  constructor(name: string, _isTime = false) {
    super('trend', name)
  }
}

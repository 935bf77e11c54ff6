import type { Kind, Tags } from './aggregates.ts'

/**
 * What the iterations of one thread have measured, in groups of one metric, one set of tags and one second, until the thread sends it on. A
 * request costs a few pushes on arrays.
 */
export interface Group {
  readonly metric: string
  /** Of the clock: seconds since 1970. */
  readonly second: number
  readonly tags: Tags
  readonly values: number[]
}

const declared = new Map<string, Kind>()
let newlyDeclared: [string, Kind][] = []
let groups = new Map<string, Group>()

/** A metric of the scenario's own. @throws Error when it was declared as another kind */
export function declare(metric: string, kind: Kind): void {
  const known = declared.get(metric)
  if (known !== undefined && known !== kind) throw new Error(`the metric '${metric}' is a ${known} already`)
  if (known === undefined) newlyDeclared.push([metric, kind])
  declared.set(metric, kind)
}

/** `key` names the tags: the same key always comes with the same tags. */
export function sample(metric: string, key: string, tags: Tags, value: number): void {
  const second = Math.floor(Date.now() / 1000)
  const id = `${metric}\0${second}\0${key}`
  const group = groups.get(id)
  if (group) group.values.push(value)
  else groups.set(id, { metric, second, tags, values: [value] })
}

/** What has come together since the last call. */
export function takeSamples(): { declared: [string, Kind][]; groups: Group[] } {
  const taken = { declared: newlyDeclared, groups: [...groups.values()] }
  newlyDeclared = []
  groups = new Map()
  return taken
}

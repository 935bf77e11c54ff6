/** The module `k6/data`. Threads do not share memory: each has the array once, for all of its virtual users. */
export class SharedArray<Item> extends Array<Item> {
  constructor(_name: string, make: () => Item[]) {
    super()
    for (const item of make()) this.push(item)
  }

  /** `map`, `filter` and so on give plain arrays, as k6's do. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array
  }
}

export default { SharedArray }

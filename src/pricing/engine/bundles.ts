import type { Piece } from './scope-index.ts'

/**
 * Which units make up a bundle whose items may want the same products. Greedy, dearest unit first; a unit
 * is taken if the items still have a place for it, where units taken before may move to another item. The sets of units that fit
 * form a transversal matroid, so the greedy choice is worth the most. Lines are counted, not units.
 * Source: Edmonds and Fulkerson, "Transversals and matroid partition" (1965).
 */
interface Bundles {
  /** The dearest units of so many bundles, as pieces in the order of taking; undefined where so many cannot be made. */
  piecesOf(bundles: number): Piece[] | undefined
}

export interface Item {
  /** Units of one bundle. */
  readonly units: number
  /** What may stand for it. */
  readonly pool: readonly Piece[]
}

export function createBundles(items: readonly Item[]): Bundles {
  /** By line: the items that it may stand for. */
  const itemsOf = new Map<number, number[]>()
  const pieces = new Map<number, Piece>()
  for (const [at, { pool }] of items.entries()) {
    for (const piece of pool) {
      pieces.set(piece.line, piece)
      itemsOf.set(piece.line, [...(itemsOf.get(piece.line) ?? []), at])
    }
  }
  const dearestFirst = [...pieces.values()].sort((a, b) => b.price - a.price || a.line - b.line)
  return {
    piecesOf(bundles) {
      const places = createPlaces(items.map(({ units }) => units * bundles))
      const taken = dearestFirst.flatMap(piece => {
        const units = places.take(itemsOf.get(piece.line)!, piece.units)
        return units > 0 ? [{ ...piece, units }] : []
      })
      return places.areFull() ? taken : undefined
    },
  }
}

/** Places for units, so many for each item. */
function createPlaces(free: number[]) {
  /** Units that may stand for the same items are one kind: `held[item]` is how many of them stand for it. */
  const kinds = new Map<string, { readonly wants: readonly number[]; readonly held: number[] }>()

  /** Finds places for up to `units` that may stand for the items of `wants`; how many have found one. */
  function take(wants: readonly number[], units: number): number {
    const name = wants.join()
    const own = kinds.get(name) ?? { wants, held: free.map(() => 0) }
    kinds.set(name, own)
    let placed = 0
    while (placed < units) {
      const moved = move(own, units - placed)
      if (moved === 0) break
      placed += moved
    }
    return placed
  }

  type Kind = typeof kinds extends Map<string, infer K> ? K : never
  /** `kind` could take a place of `item`; the unit that was there (`from`) moves on to another item. */
  interface Link {
    readonly kind: Kind
    readonly item: number
    readonly from: Link | undefined
  }

  /** Moves units along the shortest chain of items that ends in a free place (Edmonds and Karp). */
  function move(own: Kind, units: number): number {
    const seen = new Set<number>()
    const linksOf = (kind: Kind, from: Link | undefined): Link[] =>
      kind.wants.filter(item => !seen.has(item)).map(item => ({ kind, item, from }))
    const queue = linksOf(own, undefined)
    for (const link of queue) seen.add(link.item)
    for (const link of queue) {
      if (free[link.item]! > 0) return along(link, units)
      for (const kind of kinds.values()) {
        if (kind.held[link.item] === 0) continue
        for (const next of linksOf(kind, link)) {
          seen.add(next.item)
          queue.push(next)
        }
      }
    }
    return 0
  }

  function along(last: Link, units: number): number {
    let count = Math.min(units, free[last.item]!)
    for (let link = last; link.from; link = link.from) count = Math.min(count, link.kind.held[link.from.item]!)
    free[last.item]! -= count
    for (let link: Link | undefined = last; link; link = link.from) {
      link.kind.held[link.item]! += count
      if (link.from) link.kind.held[link.from.item]! -= count
    }
    return count
  }

  return { take, areFull: () => free.every(places => places === 0) }
}

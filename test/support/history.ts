import { expect } from 'chai'
import { addLines, clearLines, type Edit, type Lines, removeLine, setLine } from '../../src/model/cart.ts'
import { DEFAULT_LIMITS } from '../../src/model/limits.ts'
import { type Client, encodeCart } from './client.ts'

/** Random writes by clients, what was acknowledged, and the check that a cart is the fold of its acknowledged writes. */
export interface Write {
  readonly method: 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly edit: Edit
}

export interface Acknowledged {
  readonly version: number
  readonly edit: Edit
}

/** A small, seeded source of chance; the seed is printed by its users. */
export function chance(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 4_294_967_296) * below)
  }
}

export function randomWrite(random: (below: number) => number): Write {
  const sku = `P${String(1 + random(8)).padStart(6, '0')}`
  const quantity = 1 + random(3)
  const path = `/v1/cart/lines/${sku}`
  switch (random(10)) {
    case 0:
      return { method: 'DELETE', path, edit: removeLine(sku) }
    case 1:
    case 2:
      return { method: 'PUT', path, body: { quantity }, edit: setLine(sku, { quantity }, DEFAULT_LIMITS) }
    case 3: {
      const selected = random(2) === 0
      return {
        method: 'PUT',
        path,
        body: { quantity, selected },
        edit: setLine(sku, { quantity, selected }, DEFAULT_LIMITS),
      }
    }
    case 4:
      return random(4) === 0
        ? { method: 'DELETE', path: '/v1/cart', edit: clearLines }
        : { method: 'DELETE', path, edit: removeLine(sku) }
    default:
      return {
        method: 'POST',
        path: '/v1/cart/lines',
        body: { sku, quantity },
        edit: addLines([{ sku, quantity }], DEFAULT_LIMITS),
      }
  }
}

/**
 * Checks that a cart is exactly its acknowledged writes, applied in the order of their versions. A write that changed
 * nothing answers with the version it found, so several answers may share one: exactly one of them made the version, and
 * the others are without effect on it. Where more than one could have, all are followed, and the cart must be one of them.
 */
export async function expectFold(client: Client, acknowledged: readonly Acknowledged[]): Promise<void> {
  const byVersion = new Map<number, Edit[]>()
  for (const { version, edit } of acknowledged) byVersion.set(version, [...(byVersion.get(version) ?? []), edit])
  const versions = [...byVersion.keys()].sort((a, b) => a - b)
  let possible: Lines[] = [[]]
  for (const version of versions.filter(v => v > 0)) {
    const edits = byVersion.get(version) ?? []
    const next = possible.flatMap(before =>
      edits.flatMap(maker => {
        const after = maker(before)
        const fits = after !== before && edits.every(edit => edit === maker || edit(after) === after)
        return fits ? [after] : []
      }),
    )
    possible = [...new Map(next.map(lines => [JSON.stringify(lines), lines])).values()]
    expect(possible, `no acknowledged write can have made version ${version}`).not.to.deep.equal([])
  }
  const actual = await encodeCart(client)
  const newest = versions.at(-1) ?? 0
  expect(actual.version, 'the version is that of the last acknowledged write').to.equal(newest)
  expect(versions.filter(v => v > 0)).to.deep.equal(Array.from({ length: newest }, (_, at) => at + 1))
  expect(possible.map(lines => Object.fromEntries(lines.map(line => [line.sku, line.quantity])))).to.deep.include(
    actual.lines,
  )
}

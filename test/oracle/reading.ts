import type { Vector } from './vectors.ts'

/** Fields of a vector that say something in words, or that are about the vector and not the cart. */
const ABOUT = new Set([
  'words',
  'note',
  'where',
  'confidence',
  'kind',
  'kinds',
  'source',
  'id',
  'disputed',
  'minor_unit_digits',
])

/** A vector that remembers which of its fields were read, so that none is passed over without a word. */
export interface Reading {
  readonly vector: Vector
  /** Such as `promotions[0].optimise`; those that are about the vector are left out. */
  unread(): string[]
}

export function reading(vector: Vector): Reading {
  const read = new Set<string>()
  const all: string[] = []
  const watched = (value: unknown, path: string): unknown => {
    if (typeof value !== 'object' || value === null) return value
    const isList = Array.isArray(value)
    const nameOf = (key: string) => (isList ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`)
    if (!isList) for (const key of Object.keys(value)) if (!ABOUT.has(key)) all.push(nameOf(key))
    const inner = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, watched(one, nameOf(key))]))
    const target = isList ? Object.values(inner) : inner
    return new Proxy(target, {
      get(object, key, receiver) {
        if (typeof key === 'string') read.add(nameOf(key))
        return Reflect.get(object, key, receiver) as unknown
      },
      has(object, key) {
        if (typeof key === 'string') read.add(nameOf(key))
        return Reflect.has(object, key)
      },
    })
  }
  const { expected, ...given } = vector
  return {
    vector: { ...(watched(given, '') as Vector), expected },
    unread: () => all.filter(name => !read.has(name)),
  }
}

/**
 * Our engine breaks ties by product code, other systems by the place in the cart: codes that are in the order of the cart make that the
 * same. Every place where a code stands is renamed.
 */
export function inOrderOfCart(vector: Vector): Vector {
  const digits = String(vector.cart.length).length
  const names = new Map(vector.cart.map(({ sku }, at) => [sku, `${String(at).padStart(digits, '0')}:${sku}`]))
  const nameOf = (text: string) => names.get(text) ?? text
  const renamed = (value: unknown, key?: string): unknown => {
    if (typeof value === 'string') return key !== undefined && IS_CODE.test(key) ? nameOf(value) : value
    if (Array.isArray(value)) return value.map(one => renamed(one, key))
    if (typeof value !== 'object' || value === null) return value
    const isByCode = key !== undefined && HAS_CODES.test(key)
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [isByCode ? nameOf(name) : name, renamed(one, name)]),
    )
  }
  return renamed(vector) as Vector
}

const IS_CODE = /^(\w+_)?skus?$|^members$|^after$/
const HAS_CODES = /^lines$|^bundle$/

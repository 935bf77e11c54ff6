import { z } from 'zod'
import { sentinelsOf } from '../lib/redis.ts'

/** How the text of a setting is read. */
export const text = z.string().trim().min(1, 'must not be empty')
export const port = whole(1, 65_535)

export function whole(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .refine(value => value >= min && value <= max, `must be from ${min} to ${max}`)
}

export function oneOf<const T extends string>(values: readonly T[]) {
  return z
    .string()
    .refine(value => (values as readonly string[]).includes(value), { message: `must be one of ${values.join(', ')}` })
    .transform(value => value as T)
}

export function address(...protocols: string[]) {
  return text.refine(value => URL.canParse(value) && protocols.includes(new URL(value).protocol), {
    message: `must be an address such as ${protocols[0]}//user:password@host:port/name`,
  })
}

export const mysqlAddress = address('mysql:', 'mariadb:')
export const redisAddress = address('redis:', 'rediss:')
/** Also through Sentinels, which only the sessions have. */
export const sessionsAddress = text.refine(
  value => redisAddress.safeParse(value).success || sentinelsOf(value) !== undefined,
  {
    message:
      'must be an address such as redis://user:password@host:port or redis+sentinel://user:password@host:port,host:port/master-name',
  },
)
export const mysqlAddresses = text
  .transform(value => value.split(',').map(part => part.trim()))
  .pipe(z.array(mysqlAddress).min(1))

export interface Setting {
  readonly name: string
  readonly doc: string
  readonly schema: z.ZodType<unknown, string>
  /** `text`: the default, as it would be set. `derived`: it follows from other settings. `none`: there is none, and the value is a secret. */
  readonly kind: 'text' | 'derived' | 'none'
  /** The default as documents show it. */
  readonly shown: string
  /** True where the value is or contains a password; such a variable also has a `<NAME>_FILE` form. */
  readonly secret: boolean
}

/** Its value: undefined where nothing was set and there is no default to read. */
export type ValueOf<S extends Setting> = S['kind'] extends 'text'
  ? z.output<S['schema']>
  : z.output<S['schema']> | undefined

type Schema = z.ZodType<unknown, string>

export function set<S extends Schema>(name: string, doc: string, schema: S, shown: string) {
  return { name, doc, schema, shown, kind: 'text', secret: false } as const
}

export function derived<S extends Schema>(name: string, doc: string, schema: S, shown: string) {
  return { name, doc, schema, shown, kind: 'derived', secret: false } as const
}

export function secret<S extends Schema>(name: string, doc: string, schema: S) {
  return { name, doc, schema, shown: '', kind: 'none', secret: true } as const
}

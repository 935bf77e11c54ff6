import { hash, randomBytes } from 'node:crypto'
import { AppError } from '../lib/errors.ts'
import { DuplicateKeyError, type Database } from '../store/database.ts'
import { operatorRows } from '../store/operators.ts'

/**
 * Operators change what all shoppers see, so they are not shoppers: a token of their own, 256 random bits, of which only the
 * hash is stored. It is shown once, when `cartload operator add` makes it.
 */
export type Operators = ReturnType<typeof createOperators>

const FORM = /^op_[A-Za-z0-9_-]{43}$/
const LIST_MAX = 1_000

/** `global`: the database with the operators. */
export function createOperators(global: Database) {
  const hashOf = (token: string) => hash('sha256', token, 'base64url')
  return {
    /** The name of a token's operator. @throws AppError `operator_required` */
    async require(token: string | undefined): Promise<string> {
      const name = token !== undefined && FORM.test(token) ? await operatorRows.find(global, hashOf(token)) : undefined
      if (name === undefined) throw new AppError('operator_required', 'This is for operators: send an operator token.')
      return name
    },

    /** The token of a new operator. @throws AppError `invalid_request` when the name is taken */
    async add(name: string): Promise<string> {
      const token = `op_${randomBytes(32).toString('base64url')}`
      try {
        await operatorRows.insert(global, hashOf(token), name)
      } catch (error) {
        if (error instanceof DuplicateKeyError) throw new AppError('invalid_request', `There is an operator '${name}'.`)
        throw error
      }
      return token
    },

    remove: (name: string) => operatorRows.remove(global, name),
    list: () => operatorRows.list(global, LIST_MAX),
  }
}

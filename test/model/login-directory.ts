import type { Model, Step } from './checker.ts'

/**
 * Registration over two databases (src/accounts/registration.ts) as a model: reserve the address, insert the user, confirm; a process
 * may die or sleep between any two steps, and another registration of the same address recovers what it left.
 */
export const LOGIN_GUARDS = {
  reserveIsUnique: 'an address is reserved once',
  recoveryVoidsTheUser: 'before an address is taken over, its user can no longer be inserted',
  takeOverCompares: 'an address is taken over only from the user that was voided',
} as const
export type LoginGuard = keyof typeof LOGIN_GUARDS

interface Registration {
  readonly at: 'start' | 'reserved' | 'inserted' | 'confirmed' | 'refused' | 'recovering' | 'voided' | 'dead'
  /** Whose reservation is recovered. */
  readonly from: number
  readonly told: boolean
}

export interface LoginState {
  /** Whose the address is: the number of a registration, or -1. */
  readonly owner: number
  readonly confirmed: boolean
  /** By registration: its user's row. */
  readonly users: readonly ('none' | 'member' | 'void')[]
  readonly registrations: readonly Registration[]
  readonly kills: number
}

export function loginDirectoryModel(
  bounds: { registrations: number; kills: number },
  switchedOff: readonly LoginGuard[] = [],
): Model<LoginState> {
  const off = new Set(switchedOff)
  const initial: LoginState = {
    owner: -1,
    confirmed: false,
    users: Array.from({ length: bounds.registrations }, () => 'none'),
    registrations: Array.from({ length: bounds.registrations }, () => ({ at: 'start', from: -1, told: false })),
    kills: bounds.kills,
  }
  const go = (
    state: LoginState,
    index: number,
    at: Registration['at'],
    change: Partial<Registration> = {},
  ): LoginState => ({
    ...state,
    registrations: state.registrations.map((one, other) => (other === index ? { ...one, ...change, at } : one)),
  })
  const user = (state: LoginState, index: number, row: LoginState['users'][number]): LoginState => ({
    ...state,
    users: state.users.map((old, other) => (other === index ? row : old)),
  })

  function* next(state: LoginState): Iterable<Step<LoginState>> {
    for (const [index, { at, from }] of state.registrations.entries()) {
      const name = `P${index}`
      switch (at) {
        case 'start':
          if (state.owner < 0 || off.has('reserveIsUnique'))
            yield {
              label: `${name} reserves`,
              state: go({ ...state, owner: index, confirmed: false }, index, 'reserved'),
            }
          else if (state.confirmed) yield { label: `${name} finds it taken`, state: go(state, index, 'refused') }
          else {
            const { owner } = state
            yield {
              label: `${name} finds P${owner}'s reservation`,
              state: go(state, index, 'recovering', { from: owner }),
            }
          }
          break
        case 'recovering':
          if (state.users[from] === 'member') {
            yield { label: `${name} finds that P${from} is a user`, state: go(state, index, 'refused') }
          } else {
            const voided = off.has('recoveryVoidsTheUser') ? state : user(state, from, 'void')
            yield { label: `${name} voids P${from}`, state: go(voided, index, 'voided') }
          }
          break
        case 'voided':
          if (state.owner === from || off.has('takeOverCompares'))
            yield {
              label: `${name} takes over`,
              state: go({ ...state, owner: index, confirmed: false }, index, 'reserved'),
            }
          else yield { label: `${name} finds that another took over`, state: go(state, index, 'refused') }
          break
        case 'reserved':
          if (state.users[index] === 'none')
            yield { label: `${name} inserts its user`, state: go(user(state, index, 'member'), index, 'inserted') }
          else yield { label: `${name} finds itself voided`, state: go(state, index, 'refused') }
          break
        case 'inserted': {
          const isOwn = state.owner === index
          const confirmed = isOwn ? { ...state, owner: index, confirmed: true } : state
          yield { label: `${name} confirms and answers`, state: go(confirmed, index, 'confirmed', { told: true }) }
          break
        }
        case 'confirmed':
        case 'refused':
        case 'dead':
          continue
      }
      if (state.kills > 0)
        yield { label: `${name} is killed`, state: go({ ...state, kills: state.kills - 1 }, index, 'dead') }
    }
  }

  function breach(state: LoginState): string | undefined {
    const members = state.users.flatMap((row, index) => (row === 'member' ? [index] : []))
    if (members.length > 1) return `the address belongs to ${members.length} users`
    for (const [index, { told }] of state.registrations.entries()) {
      if (told && state.owner !== index)
        return `P${index} was told that the address is theirs, and it leads to P${state.owner}`
    }
    return undefined
  }

  return { initial, next, breach }
}

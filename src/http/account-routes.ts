import type { Logins } from '../accounts/logins.ts'
import type { Registrations } from '../accounts/registration.ts'
import { isAppError } from '../lib/errors.ts'
import type { Session } from '../sessions/sessions.ts'
import { type Answer, type Call, idempotencyOf, json, type Route, route } from './route.ts'
import type { Schemas } from './schemas.ts'

/** Accounts and sessions. */
export function accountRoutes(registrations: Registrations, logins: Logins, schemas: Schemas): Route[] {
  return [
    ...routesOfAccounts(registrations, logins, schemas),
    ...routesOfSessions(logins, schemas),
    ...routesOfOneself(logins, schemas),
  ]
}

const replayHeader = (replayed: boolean) => (replayed ? { 'Idempotency-Replayed': 'true' } : {})
const ENDED: Answer = { status: 204, cookie: 'clear' }

function routesOfAccounts(registrations: Registrations, logins: Logins, schemas: Schemas): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/accounts',
      name: 'register',
      summary: 'Makes an account',
      tag: 'Accounts',
      session: 'none',
      body: schemas.register,
      query: schemas.noQuery,
      answer: { status: 201, description: 'The account', schema: schemas.registered },
      problems: ['email_taken', 'too_many_attempts', 'idempotency_mismatch', 'idempotency_in_flight'],
      async handle({ body }, call) {
        await logins.countAccount(call.address)
        // Without the password: see accounts/registration.ts.
        const idempotency = idempotencyOf(call, { email: body.email, name: body.name })
        const { replayed, ...account } = await registrations.register(body, idempotency)
        return json(201, account, replayHeader(replayed))
      },
    }),
  ]
}

function routesOfSessions(logins: Logins, schemas: Schemas): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/sessions',
      name: 'logIn',
      summary: "Logs in; the cart of a guest's session goes over into the user's",
      tag: 'Sessions',
      session: 'optional',
      body: schemas.logIn,
      query: schemas.noQuery,
      answer: { status: 201, description: 'The session; the token is also set as a cookie', schema: schemas.loggedIn },
      problems: ['credentials_invalid', 'too_many_attempts'],
      async handle({ body }, call) {
        // A session that is over must not prevent a login.
        const current = await call.session().catch((error: unknown) => {
          if (isAppError(error, 'session_ended')) return undefined
          throw error
        })
        const { session, expiresAtMs, merged } = await logins.logIn(body.email, body.password, {
          address: call.address,
          current,
        })
        const token = session.token.text
        const answer = {
          token,
          userId: session.userId,
          expiresAt: new Date(expiresAtMs).toISOString(),
          merged: merged ? { lines: merged.lines, leftOut: merged.leftOut } : null,
        }
        return { ...json(201, answer), cookie: { token, endsAtMs: session.endsAtMs } }
      },
    }),
    route({
      method: 'delete',
      path: '/v1/sessions/current',
      name: 'logOut',
      summary: 'Logs out',
      tag: 'Sessions',
      session: 'required',
      query: schemas.noQuery,
      answer: { status: 204, description: 'Logged out' },
      problems: [],
      async handle(_, call) {
        await logins.logOut((await sessionToEnd(call, logins)).token)
        return ENDED
      },
    }),
    route({
      method: 'delete',
      path: '/v1/sessions',
      name: 'logOutEverywhere',
      summary: 'Ends all sessions of this user',
      tag: 'Sessions',
      session: 'required',
      query: schemas.noQuery,
      answer: { status: 204, description: 'Logged out everywhere' },
      problems: [],
      async handle(_, call) {
        await logins.logOutEverywhere(await sessionToEnd(call, logins))
        return ENDED
      },
    }),
  ]
}

function routesOfOneself(logins: Logins, schemas: Schemas): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/me',
      name: 'whoAmI',
      summary: 'Who this session belongs to',
      tag: 'Accounts',
      session: 'required',
      query: schemas.noQuery,
      answer: { status: 200, description: 'The user or guest', schema: schemas.me },
      problems: [],
      handle: async (_, call) => json(200, await logins.whoAmI(await call.requireSession())),
    }),
    route({
      method: 'put',
      path: '/v1/me/password',
      name: 'changePassword',
      summary: 'Changes the password and ends all other sessions',
      tag: 'Accounts',
      session: 'required',
      body: schemas.changePassword,
      query: schemas.noQuery,
      answer: { status: 204, description: 'Changed' },
      problems: ['credentials_invalid', 'too_many_attempts', 'idempotency_mismatch'],
      async handle({ body }, call) {
        const session = await call.requireSession()
        const change = { ...body, address: call.address }
        const { replayed } = await logins.changePassword(session, change, idempotencyOf(call, 'password'))
        return { status: 204, headers: replayHeader(replayed) }
      },
    }),
  ]
}

/**
 * A session that is gone may have been ended by a request that was answered 503, because not every replica had it: it is ended again
 * before the answer says that it is over.
 */
async function sessionToEnd(call: Call, logins: Logins): Promise<Session> {
  try {
    return await call.requireSession()
  } catch (error) {
    const token = isAppError(error, 'session_ended') ? call.token() : undefined
    if (token) await logins.logOut(token)
    throw error
  }
}

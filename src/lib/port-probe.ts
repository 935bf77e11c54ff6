import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const LOOPBACK = '127.0.0.1'
const ANSWER_MS_MAX = 1000

/** A port of this machine, a Unix socket by its path, or an address. */
export type Listener = number | string | { readonly host: string; readonly port: number }

/** What a server that is bound to `host` is reached by from its own machine. */
export const hostToReach = (host: string): string => (host === '0.0.0.0' || host === '::' ? LOOPBACK : host)

/** Whether connections are accepted there. */
export function isListening(listener: Listener): Promise<boolean> {
  const address =
    typeof listener === 'number'
      ? { port: listener, host: LOOPBACK }
      : typeof listener === 'string'
        ? { path: listener }
        : { ...listener }
  return new Promise(resolve => {
    const socket = connect(address)
    socket.setTimeout(ANSWER_MS_MAX)
    const done = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
    socket.once('timeout', () => done(false))
  })
}

/** Waits until they are. @throws Error after `msMax`; the reason of `signal` when that aborts the wait */
export async function waitUntilListening(listener: Listener, msMax: number, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + msMax
  while (!(await isListening(listener))) {
    signal?.throwIfAborted()
    if (performance.now() > deadline)
      throw new Error(
        `nothing listens on ${typeof listener === 'object' ? `${listener.host}:${listener.port}` : listener} after ${msMax / 1000} s`,
      )
    await sleep(30)
  }
}

import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const LOOPBACK = '127.0.0.1'
const ANSWER_MS_MAX = 1000

/** Whether somebody accepts connections on a port of this machine, or on a Unix socket by its path. */
export function isListening(door: number | string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(typeof door === 'number' ? { port: door, host: LOOPBACK } : { path: door })
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

/** Waits until somebody does. @throws Error after `msMax` */
export async function waitUntilListening(door: number | string, msMax: number): Promise<void> {
  const deadline = performance.now() + msMax
  while (!(await isListening(door))) {
    if (performance.now() > deadline) throw new Error(`nothing listens on ${door} after ${msMax / 1000} s`)
    await sleep(30)
  }
}

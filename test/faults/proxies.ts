import { fork } from 'node:child_process'
import { join } from 'node:path'
import type { Toxics } from './proxy.ts'

/** Proxies in a process of their own, so that the load and the network do not share an event loop. */
export interface Proxies {
  readonly ports: Readonly<Record<string, number>>
  /** @throws Error for a name that is not there */
  set(names: readonly string[], toxics: Toxics): Promise<void>
  stop(): Promise<void>
}

export type ProxyOrder = { readonly id: number; readonly name: string; readonly toxics: Toxics }
export type ProxyReport = { readonly ports: Record<string, number> } | { readonly id: number }

export async function startProxies(targets: Readonly<Record<string, number>>): Promise<Proxies> {
  const child = fork(join(import.meta.dirname, 'proxies-process.ts'), [JSON.stringify(targets)])
  const waiting = new Map<number, () => void>()
  let isGone = false
  child.once('exit', () => {
    isGone = true
    for (const done of waiting.values()) done() // nothing goes through any more: the users of the proxies see that
  })
  let last = 0
  const ports = await new Promise<Record<string, number>>((resolve, reject) => {
    child.once('exit', code => reject(new Error(`the proxies ended (${code})`)))
    child.on('message', (report: ProxyReport) => {
      if ('ports' in report) resolve(report.ports)
      else waiting.get(report.id)?.()
    })
  })
  return {
    ports,
    async set(names, toxics) {
      for (const name of names) {
        if (!(name in ports)) throw new Error(`there is no proxy '${name}'`)
        if (isGone) throw new Error('the proxies have ended')
        const id = ++last
        const done = new Promise<void>(resolve => waiting.set(id, resolve))
        child.send({ id, name, toxics } satisfies ProxyOrder)
        await done.finally(() => waiting.delete(id))
      }
    },
    async stop() {
      if (isGone) return
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    },
  }
}

import type { ProxyOrder } from './proxies.ts'
import { startProxy, type Proxy } from './proxy.ts'

/** Child of proxies.ts: a proxy for each target, told by messages what to do. Ends with its parent. */
const targets = JSON.parse(process.argv[2] ?? '{}') as Record<string, number>
const proxies = new Map<string, Proxy>()
for (const [name, port] of Object.entries(targets)) proxies.set(name, await startProxy(port))
process.on('message', ({ id, name, toxics }: ProxyOrder) => {
  proxies.get(name)?.set(toxics)
  process.send?.({ id })
})
process.on('disconnect', () => process.exit(0))
process.send?.({ ports: Object.fromEntries([...proxies].map(([name, { port }]) => [name, port])) })

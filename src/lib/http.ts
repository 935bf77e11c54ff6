import type { Server } from 'node:http'
import type { ListenOptions } from 'node:net'

/**
 * `node:http` without all that can be reached through it: an `import` of it also loads what its exports would load when they were first asked for
 * (undici, for WebSocket; http2), and that is 14 MB of every process (docs/performance.md, finding 23).
 */
export const { createServer: createHttpServer } = process.getBuiltinModule('node:http')

/** @throws Error when the address is taken */
export function listen(server: Server, where: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...where, backlog: 4096 }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** Cuts off what is under way. */
export function closeNow(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

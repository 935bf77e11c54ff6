import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import type { RequestListener, Server } from 'node:http'
import { dirname } from 'node:path'
import { closeNow, createHttpServer, listen } from '../lib/http.ts'
import { isListening } from '../lib/port-probe.ts'
import { FIXED } from '../model/limits.ts'

/** The API listens on a port and, for an nginx on the same machine, on a Unix socket. */
export function openServer(listener: RequestListener): Server {
  // Without a body to come a request needs no stream: a sixth of what Node.js itself does for a GET.
  const server = createHttpServer({ optimizeEmptyRequests: true }, listener)
  server.keepAliveTimeout = FIXED.keepAliveMs // longer than nginx's, so that nginx closes first
  server.headersTimeout = 10_000
  server.requestTimeout = 15_000
  server.maxRequestsPerSocket = 0
  return server
}

/** In place of the peer's address on a Unix socket. `undefined` would not do: a closed TCP connection has that too. */
export const UNIX_PEER = 'unix'

/** The same service on a Unix socket, to be opened once `server` has its port. Its requests are emitted on `server`. */
export function createUnixListener(server: Server, path: string) {
  const unix = openServer((request, response) => void server.emit('request', request, response))
  unix.on('connection', socket => Object.defineProperty(socket, 'remoteAddress', { value: UNIX_PEER }))
  return {
    server: unix,
    /** @throws Error when another instance listens there */
    async open(): Promise<void> {
      mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
      if (existsSync(path)) {
        if (await isListening(path)) throw new Error(`another instance listens on ${path}: see CARTLOAD_SOCKET_DIR`)
        rmSync(path, { force: true }) // left by a killed instance
      }
      await listen(unix, { path })
      chmodSync(path, 0o660) // for nginx, in the same group, and for no other user
    },
    close: () => closeNow(unix),
  }
}

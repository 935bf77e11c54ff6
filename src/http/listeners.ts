import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import type { RequestListener, Server } from 'node:http'
import { dirname } from 'node:path'
import { closeNow, createHttpServer, listen } from '../lib/http.ts'
import { isListening } from '../lib/port-probe.ts'
import { FIXED } from '../model/limits.ts'

/** Where the API is reached: a port and, for an nginx on the same machine, a Unix socket. */
export function openServer(listener: RequestListener): Server {
  // Without a body to come a request needs no stream: a sixth of what Node.js itself does for a GET.
  const server = createHttpServer({ optimizeEmptyRequests: true }, listener)
  server.keepAliveTimeout = FIXED.keepAliveMs // longer than nginx keeps its side, so that nginx is the one who closes
  server.headersTimeout = 10_000
  server.requestTimeout = 15_000
  server.maxRequestsPerSocket = 0
  return server
}

/** What stands for the address of who comes on a Unix socket. A connection that is gone has none either, so none at all would not do. */
export const SOCKET_PEER = 'unix'

/** The same service on a socket, to be opened once `server` has its port: whoever watches the requests of `server` sees these too. */
export function createSideDoor(server: Server, path: string) {
  const door = openServer((request, response) => void server.emit('request', request, response))
  door.on('connection', socket => Object.defineProperty(socket, 'remoteAddress', { value: SOCKET_PEER }))
  return {
    server: door,
    /** @throws Error when another instance listens there */
    async open(): Promise<void> {
      mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
      if (existsSync(path)) {
        if (await isListening(path)) throw new Error(`another instance listens on ${path}: see CARTLOAD_SOCKET_DIR`)
        rmSync(path, { force: true }) // left by one that was killed
      }
      await listen(door, { path })
      chmodSync(path, 0o660) // for nginx, in the same group; nobody else may come
    },
    close: () => closeNow(door),
  }
}

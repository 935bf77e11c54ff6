import { mkdirSync, rmSync } from 'node:fs'
import type { RequestListener, Server } from 'node:http'
import { dirname } from 'node:path'
import { closeNow, createHttpServer, listen } from '../lib/http.ts'
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

/** The same service on a socket, to be opened once `server` has its port: whoever watches the requests of `server` sees these too. */
export function createSideDoor(server: Server, path: string) {
  const door = openServer((request, response) => void server.emit('request', request, response))
  return {
    server: door,
    async open(): Promise<void> {
      mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
      rmSync(path, { force: true }) // left by one that was killed: whoever has the port is the only one with this number
      // Who may reach it is a matter of the folder, which others may not enter unless it was made before.
      await listen(door, { path, readableAll: true, writableAll: true })
    },
    close: () => closeNow(door),
  }
}

/**
 * `node:http` without all that can be reached through it: an `import` of it also loads what its exports would load when they were first asked for
 * (undici, for WebSocket; http2), and that is 14 MB of every process (docs/performance.md, finding 23).
 */
export const { createServer: createHttpServer } = process.getBuiltinModule('node:http')

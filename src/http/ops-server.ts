import type { Server } from 'node:http'
import express from 'express'
import type { Inventory } from '../inventory/stock-levels.ts'
import { createHttpServer } from '../lib/http.ts'
import type { Health } from '../ops/health.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** The operations port: for the machine's own eyes. It is bound to loopback and never behind nginx. */
interface OpsDeps {
  readonly health: Health
  readonly inventory: Inventory
  readonly metrics: Metrics
  readonly version: string
  readonly startedAt: Date
}

export function createOpsServer(deps: OpsDeps): Server {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.get('/health/live', (_request, response) => {
    response.json({ live: true, pid: process.pid, uptimeS: Math.round(process.uptime()) })
  })
  app.get('/health/ready', async (_request, response) => {
    const report = await deps.health.check()
    response.status(report.ready ? 200 : 503).json(report)
  })
  app.get('/version', (_request, response) => {
    response.json({
      name: 'cartload',
      version: deps.version,
      node: process.version,
      startedAt: deps.startedAt.toISOString(),
    })
  })
  app.get('/ops/stock/invariants', async ({ query: { after } }, response) => {
    const report = await deps.inventory.invariants(typeof after === 'string' ? after : '')
    response.status(report.holds ? 200 : 503).json(report)
  })
  app.get('/metrics', async (_request, response) => {
    response.type(deps.metrics.registry.contentType).send(await deps.metrics.registry.metrics())
  })
  return createHttpServer(app)
}

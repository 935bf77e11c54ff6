import { type Logger, pino } from 'pino'

/** Structured log lines on standard output. Secrets are removed here, whatever logs them. */
export type Log = Logger

export function createLog(level: string, base: Record<string, unknown> = {}): Log {
  return pino({
    level,
    base,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: ['password', 'token', 'cookie', 'authorization', '*.password', '*.token', '*.cookie', '*.authorization'],
      remove: true,
    },
  })
}

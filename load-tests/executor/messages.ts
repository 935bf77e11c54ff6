import type { Options } from 'k6/options'
import type { Kind } from './aggregates.ts'
import type { Group } from './samples.ts'

/** What the main thread and the threads with virtual users send each other. */
export type ToThread =
  | { readonly kind: 'setup' }
  /** `startAt`: milliseconds since 1970. */
  | { readonly kind: 'start'; readonly data: unknown; readonly startAt: number; readonly options: Options }
  /** No further iterations. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'teardown'; readonly data: unknown }
  | { readonly kind: 'summary'; readonly data: unknown }

export type FromThread =
  | { readonly kind: 'ready'; readonly options: Options; readonly exports: readonly string[] }
  | Samples
  | LogLine
  /** The answer to each message but `stop`. */
  | { readonly kind: 'done'; readonly value?: unknown; readonly error?: string }

/** What was measured since the last message, and which metrics were declared since. */
export interface Samples {
  readonly kind: 'samples'
  readonly declared: readonly [string, Kind][]
  readonly groups: readonly Group[]
}

export interface LogLine {
  readonly kind: 'log'
  readonly level: 'error' | 'warning'
  readonly text: string
}

export interface ThreadData {
  readonly script: string
  readonly thread: number
  readonly threads: number
  readonly environment: Readonly<Record<string, string | undefined>>
}

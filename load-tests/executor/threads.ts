import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Options } from 'k6/options'
import type { FromThread, LogLine, Samples, ThreadData, ToThread } from './messages.ts'

/** The threads with virtual users, as the main thread sees them: each is asked one thing at a time. */
export interface Threads {
  readonly options: Options
  readonly exports: readonly string[]
  /** @throws Error with what the scenario threw */
  ask(thread: number, message: ToThread): Promise<unknown>
  stop(): void
  readonly count: number
  close(): Promise<void>
}

/** @throws Error when the scenario cannot be loaded */
export async function startThreads(
  script: string,
  count: number,
  accept: (message: Samples | LogLine) => void,
): Promise<Threads> {
  const all = Array.from({ length: count }, (_, thread) =>
    createThread({ script, thread, threads: count, environment: process.env }, accept),
  )
  try {
    const ready = await Promise.all(all.map(({ ready: one }) => one))
    return {
      options: ready[0]?.options ?? {},
      exports: ready[0]?.exports ?? [],
      count,
      ask: (thread, message) => {
        const one = all[thread]
        if (!one) throw new Error(`there is no thread ${thread}`)
        return one.ask(message)
      },
      stop: () => {
        for (const one of all) one.tell({ kind: 'stop' })
      },
      close: async () => void (await Promise.all(all.map(({ worker }) => worker.terminate()))),
    }
  } catch (error) {
    await Promise.all(all.map(({ worker }) => worker.terminate()))
    throw error
  }
}

function createThread(data: ThreadData, accept: (message: Samples | LogLine) => void) {
  const worker = new Worker(join(import.meta.dirname, 'thread.ts'), { workerData: data })
  let settle: { done(value: unknown): void; failed(error: Error): void } | undefined
  const ready = new Promise<Extract<FromThread, { kind: 'ready' }>>((done, failed) => {
    const fail = (error: Error) => {
      failed(error)
      settle?.failed(error)
    }
    worker.on('error', fail)
    worker.on('exit', code => fail(new Error(`a thread ended with ${code}`)))
    worker.on('message', (message: FromThread) => {
      if (message.kind === 'ready') done(message)
      else if (message.kind !== 'done') accept(message)
      else if (message.error === undefined) settle?.done(message.value)
      else settle?.failed(new Error(message.error))
    })
  })
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const tell = (message: ToThread) => worker.postMessage(message)
  return {
    worker,
    ready,
    tell,
    ask: (message: ToThread) =>
      new Promise<unknown>((done, failed) => {
        settle = { done, failed }
        tell(message)
      }),
  }
}

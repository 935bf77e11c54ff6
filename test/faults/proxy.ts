import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

/** What a TCP connection can suffer, as in Toxiproxy. Everything may be combined; `{}` is a sound network. */
export interface Toxics {
  /** Each chunk arrives so much later, give or take the jitter; order is kept. */
  readonly latencyMs?: number
  readonly jitterMs?: number
  /** Chunks are cut into pieces of so many bytes, a few ms apart. */
  readonly sliceBytes?: number
  /** Chance, for each chunk of an answer, that the connection is reset instead: the server has done what it was asked. */
  readonly resetChance?: number
  /** Chance, for each chunk of an answer, that the server's side is closed while the client's stays open. */
  readonly halfCloseChance?: number
  /** What is sent that way is neither delivered nor refused; it arrives when the network is sound again. */
  readonly blackHole?: 'requests' | 'answers' | 'both'
  /** Connections are reset, and new ones too. */
  readonly isCut?: boolean
}

export interface Proxy {
  readonly port: number
  set(toxics: Toxics): void
  close(): Promise<void>
}

const SLICE_MS = 2

export async function startProxy(targetPort: number): Promise<Proxy> {
  let toxics: Toxics = {}
  const open = new Set<{ reset(): void; wake(): void }>()

  const server = createServer(client => {
    if (toxics.isCut) {
      client.resetAndDestroy()
      return
    }
    const target = connect({ host: '127.0.0.1', port: targetPort })
    client.setNoDelay(true)
    target.setNoDelay(true)
    const reset = () => {
      client.resetAndDestroy()
      target.resetAndDestroy()
      open.delete(link)
    }
    let isHalfClosed = false
    const ends: Ends = {
      reset,
      halfClose() {
        isHalfClosed = true
        target.end()
      },
      isHalfClosed: () => isHalfClosed,
    }
    const requests = createFlow(client, target, () => toxics, 'requests', ends)
    const answers = createFlow(target, client, () => toxics, 'answers', ends)
    const link = {
      reset,
      wake: () => {
        requests.wake()
        answers.wake()
      },
    }
    open.add(link)
    client.on('error', reset)
    target.on('error', reset)
    client.on('close', () => {
      target.destroy()
      open.delete(link)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))

  return {
    port: (server.address() as AddressInfo).port,
    set(next) {
      toxics = next
      for (const link of open) {
        if (next.isCut) link.reset()
        else link.wake()
      }
    },
    close: () =>
      new Promise(resolve => {
        for (const link of open) link.reset()
        server.close(() => resolve())
      }),
  }
}

interface Ends {
  reset(): void
  halfClose(): void
  isHalfClosed(): boolean
}

/** One direction of one connection. */
function createFlow(
  from: Socket,
  to: Socket,
  toxics: () => Toxics,
  direction: 'requests' | 'answers',
  ends: Ends,
): { wake(): void } {
  const queue: { chunk: Buffer; dueMs: number }[] = []
  let timer: NodeJS.Timeout | undefined
  let ended = false
  let lastDueMs = 0

  const isHeld = () => toxics().blackHole === direction || toxics().blackHole === 'both'

  function deliver(): void {
    clearTimeout(timer)
    timer = undefined
    while (!isHeld()) {
      const [next] = queue
      if (!next) {
        if (ended && !(direction === 'answers' && ends.isHalfClosed())) to.end()
        return
      }
      const waitMs = next.dueMs - performance.now()
      if (waitMs > 0.5) {
        timer = setTimeout(deliver, waitMs)
        return
      }
      queue.shift()
      to.write(next.chunk)
    }
  }

  from.on('data', (chunk: Buffer) => {
    const { latencyMs = 0, jitterMs = 0, sliceBytes, resetChance = 0, halfCloseChance = 0 } = toxics()
    if (direction === 'answers' && Math.random() < resetChance) return ends.reset()
    if (direction === 'answers' && Math.random() < halfCloseChance) {
      ends.halfClose() // the server hears the end; the client goes on waiting
      return
    }
    const pieces = sliceBytes ? Math.ceil(chunk.length / sliceBytes) : 1
    for (let n = 0; n < pieces; n++) {
      const piece = sliceBytes ? chunk.subarray(n * sliceBytes, (n + 1) * sliceBytes) : chunk
      const delayMs = Math.max(0, latencyMs + (Math.random() * 2 - 1) * jitterMs) + (n > 0 ? SLICE_MS : 0)
      lastDueMs = Math.max(lastDueMs + (n > 0 ? SLICE_MS : 0), performance.now() + delayMs)
      queue.push({ chunk: piece, dueMs: lastDueMs })
    }
    deliver()
  })
  from.on('end', () => {
    ended = true
    deliver()
  })
  to.on('close', () => clearTimeout(timer))
  return { wake: deliver }
}

import { Agent, request } from 'node:http'

/** A client for thousands of buyers at once: few sockets, kept alive; a lost connection is an answer of its own. */
export interface Reply {
  /** 0: no answer came, so it is unknown what happened. */
  readonly status: number
  // oxlint-disable-next-line typescript/no-explicit-any -- JSON as the checks read it
  readonly body: any
  readonly retryAfter?: string | undefined
}

export interface Http {
  send(url: string, method: string, path: string, options: SendOptions): Promise<Reply>
  close(): void
}

export interface SendOptions {
  readonly token: string
  readonly body?: unknown
  readonly key?: string
}

const ANSWER_MS_MAX = 8_000

export function createHttp(socketsMax: number): Http {
  const agent = new Agent({ keepAlive: true, maxSockets: socketsMax, scheduling: 'fifo' })
  return {
    send: (url, method, path, { token, body, key }) =>
      new Promise(resolve => {
        const text = body === undefined ? undefined : JSON.stringify(body)
        const headers: Record<string, string> = { Authorization: `Bearer ${token}` }
        if (text !== undefined) {
          headers['Content-Type'] = 'application/json'
          headers['Content-Length'] = String(Buffer.byteLength(text))
        }
        if (key !== undefined) headers['Idempotency-Key'] = key
        const sent = request(url + path, { method, headers, agent, timeout: ANSWER_MS_MAX }, response => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', () => resolve({ status: 0, body: undefined }))
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              body: parsed(Buffer.concat(chunks).toString()),
              retryAfter: response.headers['retry-after'],
            }),
          )
        })
        sent.on('timeout', () => sent.destroy(new Error('no answer')))
        sent.on('error', () => resolve({ status: 0, body: undefined }))
        sent.end(text)
      }),
    close: () => agent.destroy(),
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

/**
 * What clients did and heard, as Jepsen writes it down: every operation is written to the file before it is sent, so that a client
 * that dies still leaves it there, and is completed with what was heard. Who hears nothing, or an error of the server, does not know:
 * that is `info`, never `fail`. Times are of one monotonic clock, in µs.
 */
export type CartEdit =
  | { readonly do: 'add'; readonly sku: string; readonly quantity: number }
  | { readonly do: 'set'; readonly sku: string; readonly quantity: number }
  | { readonly do: 'remove'; readonly sku: string }
  | { readonly do: 'clear' }

export type Invocation =
  | { readonly kind: 'write'; readonly user: string; readonly edit: CartEdit; readonly key?: string }
  | { readonly kind: 'read'; readonly user: string }
  | { readonly kind: 'order'; readonly user: string; readonly key: string }
  /** Something that needs a session, and what ends it. */
  | { readonly kind: 'request'; readonly session: string }
  | { readonly kind: 'logout'; readonly session: string }

export type Outcome = {
  readonly result: 'ok' | 'fail' | 'info'
  /** Of a cart: its version, and its contents in the form of `contentsText`. */
  readonly version?: number
  readonly contents?: string
  /** Of an order. */
  readonly orderId?: string
  readonly total?: number
  /** Of a request: whether the session was accepted. */
  readonly isAccepted?: boolean
  /** Why not, for the figures. */
  readonly code?: string
}

export type Operation = Invocation & {
  readonly id: number
  readonly client: number
  readonly invokedUs: number
  /** Undefined until an answer has come. */
  completedUs: number | undefined
  outcome: Outcome | undefined
}

export type OperationOf<Kind extends Invocation['kind']> = Operation & { readonly kind: Kind }

/** What is done with a cart. */
export type CartOperation = OperationOf<'write' | 'read'>

export function isOnCart(operation: Operation): operation is CartOperation {
  return operation.kind === 'write' || operation.kind === 'read'
}

export interface Recorder {
  readonly operations: readonly Operation[]
  /** Writes down the operation, sends it, writes down what came of it. */
  record(client: number, invocation: Invocation, send: () => Promise<Outcome>): Promise<Outcome>
  close(): void
}

export const nowUs = (): number => Math.round(performance.now() * 1000)

/** Without a file the history is kept in memory only. */
export function createRecorder(file?: string): Recorder {
  const operations: Operation[] = []
  const descriptor = file === undefined ? undefined : openSync(file, 'w')
  const write = (line: object) => {
    if (descriptor !== undefined) writeSync(descriptor, `${JSON.stringify(line)}\n`)
  }
  return {
    operations,
    async record(client, invocation, send) {
      const operation: Operation = {
        ...invocation,
        id: operations.length,
        client,
        invokedUs: nowUs(),
        completedUs: undefined,
        outcome: undefined,
      }
      operations.push(operation)
      const { completedUs: _, outcome: __, ...invoked } = operation
      write(invoked)
      const outcome = await send()
      operation.completedUs = nowUs()
      operation.outcome = outcome
      write({ id: operation.id, completedUs: operation.completedUs, outcome })
      return outcome
    },
    close() {
      if (descriptor !== undefined) closeSync(descriptor)
    },
  }
}

/** The operations of a file. A half line at the end, of a client that died, is left out. */
export function readHistory(file: string): Operation[] {
  const operations = new Map<number, Operation>()
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (!line.endsWith('}')) continue
    const entry = JSON.parse(line) as Operation
    const known = operations.get(entry.id)
    if (known) Object.assign(known, entry)
    else operations.set(entry.id, { ...entry, completedUs: entry.completedUs, outcome: entry.outcome })
  }
  return [...operations.values()]
}

export type Contents = ReadonlyMap<string, number>

/** `P000001:3,P000002:1`, by product. */
export function contentsText(contents: Contents): string {
  return [...contents]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([sku, quantity]) => `${sku}:${quantity}`)
    .join(',')
}

export function contentsOfText(text: string): Contents {
  const lines = text === '' ? [] : text.split(',').map(line => line.split(':') as [string, string])
  return new Map(lines.map(([sku, quantity]) => [sku, Number(quantity)]))
}

/** What an edit makes of a cart: the specification, written apart from the product’s own code. */
export function applyEdit(contents: Contents, edit: CartEdit): Contents {
  const next = new Map(contents)
  switch (edit.do) {
    case 'add':
      next.set(edit.sku, (contents.get(edit.sku) ?? 0) + edit.quantity)
      return next
    case 'set':
      if (edit.quantity === 0) next.delete(edit.sku)
      else next.set(edit.sku, edit.quantity)
      return next
    case 'remove':
      next.delete(edit.sku)
      return next
    case 'clear':
      return new Map()
  }
}

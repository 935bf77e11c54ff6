import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { environmentOf, findOrInstall, type Say } from '../../src/stack/programs.ts'
import { endWithUs } from '../../test/support/servers.ts'
import type { Generator } from '../runner/generator.ts'

/** A request as it is sent, to whichever contender. */
export interface Request {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** Requests of one scenario for one contender, written out once for both generators. */
export interface Requests {
  readonly first: readonly Request[]
  readonly count: number
  readonly forWrk: string
  readonly forScenario: string
}

export interface Closed {
  readonly requests: number
  readonly seconds: number
  /** From sending a request to its last byte; over several urls the mean of their medians. */
  readonly medianMs: number
}

export interface Open {
  readonly medianMs: number
  readonly p95Ms: number
  readonly p99Ms: number
}

/** Of the closed loop. */
const CONNECTIONS = 64
const FIRST = 3
/** Process numbers of generators that run or ran: their CPU is no contender's. */
const generators = new Set<number>()
export const generatorPids = (): number[] => [...generators]

/** The machine or the service is not fit to be measured. Commands print the message alone, without a stack trace. */
export class MeasurementError extends Error {
  override readonly name: string = 'MeasurementError'
}

/** wrk is started by its name; where it was unpacked for this folder only, it comes on PATH here. @throws MissingPrograms */
export async function findWrk(dataDir: string, say: Say): Promise<void> {
  const found = (await findOrInstall(['wrk', 'nginx', 'redis', 'mariadb'], dataDir, say)).get('wrk')
  if (!found) return
  process.env['PATH'] = `${process.env['PATH'] ?? ''}${delimiter}${dirname(found.path)}`
  Object.assign(process.env, environmentOf(found))
}

export function writeRequests(dir: string, name: string, requests: readonly Request[]): Requests {
  const [forWrk, forScenario] = [join(dir, `${name}.requests`), join(dir, `${name}.json`)]
  writeFileSync(forWrk, requests.map(request => `${textOf(request)}\0`).join(''))
  writeFileSync(forScenario, JSON.stringify(requests.map(({ body, ...rest }) => ({ ...rest, body: body ?? null }))))
  return { first: requests.slice(0, FIRST), count: requests.length, forWrk, forScenario }
}

function textOf({ method, path, headers, body = '' }: Request): string {
  const all = { Host: '127.0.0.1', ...headers, ...(body === '' ? {} : { 'Content-Length': Buffer.byteLength(body) }) }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}

/**
 * Closed loop: 64 connections, each with a request under way at any time. Over several urls the connections are divided.
 * @throws Error when a single request failed
 */
export function closedLoop(urls: readonly string[], requests: Requests, seconds: number): Promise<Closed> {
  return overConnections(urls, requests, seconds, 0)
}

/**
 * About `rate` requests a second in all over the same connections, each after a random pause: for what a request costs while a machine has little to
 * do. An open model keeps a rate better, and takes so much of a small machine for it that what is measured gets dearer.
 * @throws Error when a request failed, or when the rate was far from kept
 */
export async function paced(
  urls: readonly string[],
  requests: Requests,
  { rate, seconds }: Pick<FixedRate, 'rate' | 'seconds'>,
): Promise<Closed> {
  const run = await overConnections(urls, requests, seconds, (CONNECTIONS / rate) * 1000)
  if (run.requests < rate * run.seconds * KEPT_MIN)
    throw new MeasurementError(`${urls.join(', ')} did not keep up with ${rate} a second`)
  return run
}

const KEPT_MIN = 0.8

async function overConnections(
  urls: readonly string[],
  requests: Requests,
  seconds: number,
  pauseMs: number,
): Promise<Closed> {
  const connections = Math.ceil(CONNECTIONS / urls.length)
  const runs = await Promise.all(urls.map(url => wrk(url, requests, { connections, seconds, pauseMs })))
  return {
    requests: runs.reduce((sum, run) => sum + run.requests, 0),
    seconds: Math.max(...runs.map(run => run.seconds)),
    medianMs: runs.reduce((sum, run) => sum + run.medianMs, 0) / runs.length,
  }
}

interface WrkOptions {
  readonly connections: number
  readonly seconds: number
  /** On average, before each request. */
  readonly pauseMs: number
}

async function wrk(url: string, requests: Requests, options: WrkOptions): Promise<Closed> {
  const { connections, seconds, pauseMs } = options
  const start = Math.floor(Math.random() * requests.count)
  const own = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s']
  const script = join(import.meta.dirname, 'wrk.lua')
  const more = [requests.forWrk, String(start), String(Math.round(pauseMs))]
  const output = await outputOf('wrk', [...own, '-s', script, url, '--', ...more])
  const run = JSON.parse(output.trim().split('\n').at(-1) ?? '') as {
    requests: number
    us: number
    medianUs: number
    errors: number
  }
  if (run.errors > 0) throw new MeasurementError(`${run.errors} requests failed at ${url}`)
  return { requests: run.requests, seconds: run.us / 1e6, medianMs: run.medianUs / 1000 }
}

/** Open model: so many requests a second, however long the answers take. Undefined when the rate was not kept. @throws Error when some failed */
export async function openModel(
  generator: Generator,
  url: string,
  requests: Requests,
  at: FixedRate,
): Promise<Open | undefined> {
  const result = await fixedRate(generator, url, requests, at)
  if (result.good < 1) throw new MeasurementError(`requests failed at ${url}: ${JSON.stringify(result)}`)
  return result.dropped > 0 ? undefined : result
}

export interface FixedRate {
  readonly rate: number
  readonly seconds: number
  /** When answers may take long. */
  readonly virtualUsers?: number
}

export interface Kept extends Open {
  /** Without the wait before the start; with k6 the same as the median. */
  readonly serviceMedianMs: number
  /** Share of the answers that were good. */
  readonly good: number
  readonly requests: number
  /** Requests that could not be sent in time. */
  readonly dropped: number
}

/** As openModel, whatever came of it. */
export async function fixedRate(generator: Generator, url: string, requests: Requests, at: FixedRate): Promise<Kept> {
  const environment = {
    BASE_URL: url,
    REQUESTS: requests.forScenario,
    RATE: String(Math.round(at.rate)),
    DURATION: `${at.seconds}s`,
    K6_NO_USAGE_REPORT: 'true',
    ...(at.virtualUsers === undefined ? {} : { VUS: String(at.virtualUsers) }),
  }
  const script = join(import.meta.dirname, '..', 'lib', 'fixed-rate.ts')
  const output = await outputOf(generator.program, [...generator.args, 'run', '--quiet', script], environment)
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Kept
}

async function outputOf(program: string, args: string[], environment: Record<string, string> = {}): Promise<string> {
  const child: ChildProcess = spawn(program, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endWithUs(child)
  if (child.pid) generators.add(child.pid)
  let [out, err] = ['', '']
  child.stdout?.on('data', chunk => (out += String(chunk)))
  child.stderr?.on('data', chunk => (err += String(chunk)))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new MeasurementError(`${program} ended with ${code}: ${err || out}`)
  return out
}

export const versionOf = async (program: string, ...args: string[]): Promise<string> =>
  (
    await promisify(execFile)(program, args).catch((error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }))
  ).stdout
    .split('\n')[0]
    ?.trim() ?? ''

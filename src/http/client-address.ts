import type { IncomingMessage } from 'node:http'
import proxyaddr from 'proxy-addr'
import { UNIX_PEER } from './listeners.ts'

/**
 * The client's address: the last one in X-Forwarded-For that no trusted proxy stands for. The peer of a Unix socket is trusted,
 * because only nginx can open it. `trustedProxies`: addresses, ranges, or names such as `loopback` (proxy-addr's).
 */
export function clientAddress(trustedProxies: readonly string[]): (request: IncomingMessage) => string {
  const isTrusted = proxyaddr.compile([...trustedProxies])
  const trust = (address: string, hop: number) => (hop === 0 && address === UNIX_PEER) || isTrusted(address, hop)
  return request => proxyaddr(request, trust) ?? 'unknown'
}

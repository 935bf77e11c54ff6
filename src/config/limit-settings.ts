import { DEFAULT_LIMITS, type Limits } from '../model/limits.ts'
import { set, whole } from './parsers.ts'

/** The limits that an operator may change; their defaults stand with all others in model/limits.ts. */
export const LIMIT_SETTINGS = {
  cartLinesMax: limit('CARTLOAD_CART_LINES_MAX', 'Most lines in a cart.', 'cartLinesMax', [1, 5000]),
  lineQuantityMax: limit(
    'CARTLOAD_LINE_QUANTITY_MAX',
    'Most units of one product in a cart.',
    'lineQuantityMax',
    [1, 1_000_000],
  ),
  pageLinesDefault: limit(
    'CARTLOAD_PAGE_DEFAULT',
    'Items of a page when the request does not say.',
    'pageLinesDefault',
    [1, 1000],
  ),
  pageLinesMax: limit('CARTLOAD_PAGE_MAX', 'Most items of a page.', 'pageLinesMax', [1, 1000]),
  bodyBytesMax: limit('CARTLOAD_BODY_BYTES_MAX', 'Largest request body, in bytes.', 'bodyBytesMax', [1024, 10_485_760]),
  mysqlConnectionsMax: limit(
    'CARTLOAD_MYSQL_CONNECTIONS_MAX',
    'Connections of one instance to one shard that are in use at once.',
    'mysqlConnectionsMax',
    [1, 1000],
  ),
  mysqlQueueMax: limit(
    'CARTLOAD_MYSQL_QUEUE_MAX',
    'Callers of one instance that may wait for a connection to one shard.',
    'mysqlQueueMax',
    [1, 100_000],
  ),
  mysqlWaitMsMax: limit(
    'CARTLOAD_MYSQL_WAIT_MS_MAX',
    'Longest wait for a connection, in milliseconds.',
    'mysqlWaitMsMax',
    [10, 60_000],
  ),
  statementMsMax: limit(
    'CARTLOAD_STATEMENT_MS_MAX',
    'Longest single SQL statement, in milliseconds.',
    'statementMsMax',
    [1100, 60_000],
  ),
  passwordChecksMax: limit(
    'CARTLOAD_PASSWORD_CHECKS_MAX',
    'Password checks that one instance makes at once: each keeps a core busy for some 20 ms and takes 7 MB.',
    'passwordChecksMax',
    [1, 64],
  ),
  loginsWaitingMax: limit(
    'CARTLOAD_LOGINS_WAITING_MAX',
    'Password checks that may wait in one instance.',
    'loginsWaitingMax',
    [1, 100_000],
  ),
  pricingQueueMax: limit(
    'CARTLOAD_PRICING_QUEUE_MAX',
    'Price calculations that may wait in one instance.',
    'pricingQueueMax',
    [1, 100_000],
  ),
  inFlightMax: limit(
    'CARTLOAD_IN_FLIGHT_MAX',
    'Requests in flight in one instance; further ones are shed with 503 and Retry-After.',
    'inFlightMax',
    [1, 1_000_000],
  ),
} as const

function limit(name: string, doc: string, key: keyof Limits, [min, max]: readonly [number, number]) {
  return set(name, doc, whole(min, max), String(DEFAULT_LIMITS[key]))
}

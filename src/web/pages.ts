import type { ErrorCode } from '../lib/errors.ts'
import { ERROR_TEXTS } from './error-texts.ts'

/** Pages for people, as pure functions from data to HTML. */

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}

export function apiPage(assets: string): string {
  return page(
    'cartload: API',
    `<link rel="stylesheet" href="${assets}/swagger-ui.css">`,
    `<div id="api"></div>
<script src="${assets}/swagger-ui-bundle.js"></script>
<script src="${assets}/start.js"></script>`,
  )
}

/** Runs in the API page; kept apart so that the page needs no inline script. */
export const API_PAGE_SCRIPT = `window.ui = SwaggerUIBundle({ url: '/openapi.json', dom_id: '#api', deepLinking: true, tryItOutEnabled: true })`

export function errorsPage(statuses: Readonly<Record<ErrorCode, number>>): string {
  const sections = (Object.keys(ERROR_TEXTS) as ErrorCode[]).map(code => {
    const { when, todo } = ERROR_TEXTS[code]
    const example = { type: `/docs/errors#${code}`, status: statuses[code], code, detail: when }
    return `<section id="${escapeHtml(code)}"><h2><code>${escapeHtml(code)}</code> <small>${statuses[code]}</small></h2>
<p>${withCode(when)}</p><p><b>What to do:</b> ${withCode(todo)}</p>
<pre>${escapeHtml(JSON.stringify(example))}</pre></section>`
  })
  return page(
    'cartload: error codes',
    STYLE,
    `<h1>Error codes</h1><p>Errors are problem documents (RFC 9457). Programs go by <code>code</code>; <code>detail</code> is for people, and
<code>traceId</code> is what the log knows the request by.</p>${sections.join('')}`,
  )
}

/** The page at the root of the server. */
export function homePage(version: string): string {
  return page(
    'cartload',
    STYLE,
    `<h1>cartload ${escapeHtml(version)}</h1><p>A shopping-cart backend: carts, prices, promotions, orders and stock over HTTP.</p>
<ul><li><a href="/docs">The API</a>, to read and to try</li><li><a href="/openapi.json">The API as an OpenAPI document</a></li>
<li><a href="/docs/errors">Error codes</a>: when they come, and what to do</li><li><a href="/v1/products?limit=5">Some products</a></li></ul>`,
  )
}

const STYLE =
  '<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto;background:#f4f4f4;padding:.5rem}small{color:#555}</style>'

/** Text in which words between backquotes are code. */
const withCode = (text: string) => escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>')

function page(title: string, head: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">${head}</head>
<body>${body}</body></html>
`
}

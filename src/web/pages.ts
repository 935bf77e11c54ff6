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

export function errorsPage(statuses: Readonly<Record<string, number>>): string {
  const rows = Object.entries(statuses).map(
    ([code, status]) => `<tr id="${escapeHtml(code)}"><td><code>${escapeHtml(code)}</code></td><td>${status}</td></tr>`,
  )
  return page(
    'cartload: error codes',
    '',
    `<h1>Error codes</h1><table><tr><th>code</th><th>status</th></tr>${rows.join('')}</table>`,
  )
}

function page(title: string, head: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">${head}</head>
<body>${body}</body></html>
`
}

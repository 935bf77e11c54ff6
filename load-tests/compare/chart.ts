/** Charts as SVG text: legible on white and on dark, without a script. */
const FONT = 'font-family="system-ui, sans-serif" font-size="12"'
const COLOURS = ['#2a78d6', '#e07b39', '#3f9e5b', '#b04fb5', '#8a8f98']

const escape = (text: string) => text.replace(/[&<>"]/g, each => `&#${each.charCodeAt(0)};`)

function svg(width: number, height: number, parts: readonly string[]): string {
  const style = '<style>text{fill:#333}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>'
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${FONT}>${style}\n${parts.join('\n')}\n</svg>\n`
}

export interface Bar {
  readonly label: string
  readonly value: number
  readonly low: number
  readonly high: number
  readonly colour: 0 | 1 | 2 | 3 | 4
  readonly text: string
}

/** Horizontal bars with their intervals. */
export function bars(title: string, all: readonly Bar[]): string {
  const [left, right, row, top] = [420, 150, 24, 46]
  const width = 1000
  const most = Math.max(...all.map(bar => bar.high)) * 1.05
  const x = (value: number) => left + (value / most) * (width - left - right)
  const parts = [`<text x="8" y="20" font-size="15" font-weight="600">${escape(title)}</text>`]
  for (const [index, bar] of all.entries()) {
    const y = top + index * row
    const middle = y + row / 2 - 3
    parts.push(
      `<text x="${left - 8}" y="${middle + 4}" text-anchor="end">${escape(bar.label)}</text>`,
      `<rect x="${left}" y="${y}" width="${(x(bar.value) - left).toFixed(1)}" height="${row - 7}" rx="2" fill="${COLOURS[bar.colour]}"/>`,
      `<path d="M${x(bar.low).toFixed(1)} ${middle}H${x(bar.high).toFixed(1)}" stroke="#888" stroke-width="2"/>`,
      `<text x="${x(bar.high) + 8}" y="${middle + 4}">${escape(bar.text)}</text>`,
    )
  }
  return svg(width, top + all.length * row + 10, parts)
}

export interface Curve {
  readonly name: string
  readonly points: readonly { readonly x: number; readonly y: number }[]
}

/** Curves over an axis of given steps, which need not be even. */
export function curves(title: string, axis: { readonly x: string; readonly y: string }, all: readonly Curve[]): string {
  const [left, right, top, bottom, width, height] = [64, 150, 46, 42, 720, 320]
  const steps = [...new Set(all.flatMap(curve => curve.points.map(point => point.x)))].sort((a, b) => a - b)
  const most = Math.max(...all.flatMap(curve => curve.points.map(point => point.y))) * 1.1
  const x = (value: number) => left + (steps.indexOf(value) / Math.max(1, steps.length - 1)) * (width - left - right)
  const y = (value: number) => height - bottom - (value / most) * (height - top - bottom)
  const parts = [
    `<text x="8" y="20" font-size="15" font-weight="600">${escape(title)}</text>`,
    `<text x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">${escape(axis.x)}</text>`,
    `<text x="8" y="38">${escape(axis.y)}</text>`,
  ]
  for (let share = 0; share <= 4; share++) {
    const value = (most * share) / 4
    parts.push(
      `<path d="M${left} ${y(value).toFixed(1)}H${width - right}" stroke="#8884"/>`,
      `<text x="${left - 6}" y="${y(value) + 4}" text-anchor="end">${value >= 10 ? Math.round(value) : value.toFixed(2)}</text>`,
    )
  }
  for (const step of steps)
    parts.push(`<text x="${x(step)}" y="${height - bottom + 18}" text-anchor="middle">${step}</text>`)
  for (const [index, curve] of all.entries()) {
    const colour = COLOURS[index % COLOURS.length]
    const line = curve.points.map(point => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(' ')
    parts.push(`<polyline points="${line}" fill="none" stroke="${colour}" stroke-width="2"/>`)
    for (const point of curve.points)
      parts.push(`<circle cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="3" fill="${colour}"/>`)
    const last = curve.points.at(-1)
    if (last) parts.push(`<text x="${x(last.x) + 10}" y="${y(last.y) + 4}">${escape(curve.name)}</text>`)
  }
  return svg(width, height, parts)
}

export interface Frame {
  readonly name: string
  readonly origin: 'ours' | 'node' | 'redis client' | 'other packages' | 'engine'
  readonly self: number
  readonly children: readonly Frame[]
}

const ORIGINS: Readonly<Record<Frame['origin'], string>> = {
  ours: '#2a78d6',
  node: '#b9bec7',
  'redis client': '#e07b39',
  'other packages': '#3f9e5b',
  engine: '#dcdfe4',
}
const LEAST_SHARE = 0.002

/** A flame graph, the root at the top: width is time. Frames of less than 0.2 % are left out. */
export function flame(title: string, root: Frame): string {
  const [width, row, top] = [1200, 17, 56]
  const whole = timeOf(root)
  const parts: string[] = []
  let deepest = 0
  const draw = (frame: Frame, left: number, depth: number): void => {
    const wide = (timeOf(frame) / whole) * width
    if (wide < width * LEAST_SHARE) return
    deepest = Math.max(deepest, depth)
    const y = top + depth * row
    const share = `${((timeOf(frame) / whole) * 100).toFixed(1)} %`
    parts.push(
      `<g><title>${escape(frame.name)} ${share}</title><rect x="${left.toFixed(1)}" y="${y}" width="${Math.max(0.5, wide - 0.5).toFixed(1)}" height="${row - 1}" fill="${ORIGINS[frame.origin]}"/>`,
    )
    const letters = Math.floor(wide / 6.2)
    if (letters > 3)
      parts.push(
        `<text x="${(left + 3).toFixed(1)}" y="${y + 12}" font-size="10" style="fill:#111">${escape(frame.name.slice(0, letters))}</text>`,
      )
    parts.push('</g>')
    let at = left
    for (const child of frame.children) {
      draw(child, at, depth + 1)
      at += (timeOf(child) / whole) * width
    }
  }
  draw(root, 0, 0)
  const legend = Object.entries(ORIGINS).map(
    ([name, colour], index) =>
      `<rect x="${8 + index * 150}" y="30" width="12" height="12" fill="${colour}"/><text x="${25 + index * 150}" y="40">${name}</text>`,
  )
  const heading = `<text x="8" y="20" font-size="15" font-weight="600">${escape(title)}</text>`
  return svg(width, top + (deepest + 1) * row + 8, [heading, ...legend, ...parts])
}

const times = new WeakMap<Frame, number>()

function timeOf(frame: Frame): number {
  const known = times.get(frame)
  if (known !== undefined) return known
  const time = frame.children.reduce((sum, child) => sum + timeOf(child), frame.self)
  times.set(frame, time)
  return time
}

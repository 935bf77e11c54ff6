// Draws the charts of a report in the browser. The data stands in the page; uPlot is inlined before this.
const dark = matchMedia('(prefers-color-scheme: dark)').matches
const [ink, grid] = dark ? ['#c9d1d9', '#ffffff1a'] : ['#3d444d', '#0000001a']
const COLOURS = [
  '#2a78d6',
  '#e07b39',
  '#3f9e5b',
  '#b04fb5',
  '#c8a415',
  '#d6453d',
  '#1aa3a3',
  '#8a8f98',
  '#7a5cd6',
  '#6b8e23',
]
const HEIGHT = 240

/** Each on top of those before it; uPlot draws bands between neighbours. */
function stacked(series) {
  const sums = []
  return series.map(({ values }) =>
    values.map((value, index) => {
      if (value === null) return null
      sums[index] = (sums[index] ?? 0) + value
      return sums[index]
    }),
  )
}

const figure = value =>
  value === null || value === undefined
    ? '–'
    : Math.abs(value) >= 100
      ? Math.round(value).toLocaleString('en-US')
      : Number(value.toPrecision(3)).toString()

function draw(place, chart) {
  const { x, series, isStacked, isLog, isScatter, xLabel, top, sync } = chart
  const drawn = isStacked ? stacked(series) : series.map(({ values }) => values)
  const lines = series.map(({ label, values, colour, dashed }, index) => {
    const stroke = COLOURS[(colour ?? index) % COLOURS.length]
    return {
      label,
      stroke,
      width: isStacked ? 1 : 1.75,
      dash: dashed ? [6, 4] : undefined,
      fill: isStacked ? `${stroke}b0` : undefined,
      points: { show: isScatter && !dashed ? true : undefined, size: 6 },
      spanGaps: isScatter,
      value: (_, __, ___, at) => figure(at === null ? undefined : values[at]),
    }
  })
  const axis = { stroke: ink, grid: { stroke: grid }, ticks: { stroke: grid } }
  const plot = new uPlot(
    {
      width: place.clientWidth,
      height: HEIGHT,
      scales: {
        x: { time: false },
        y: isLog ? { distr: 3 } : { range: (_, __, high) => [0, Math.max(top ?? 0, high > 0 ? high * 1.05 : 1)] },
      },
      axes: [
        { ...axis, label: xLabel, labelSize: 20, size: 34, labelFont: '12px system-ui', font: '11px system-ui' },
        {
          ...axis,
          size: 56,
          font: '11px system-ui',
          values: (_, ticks) => ticks.map(tick => (tick === null ? '' : figure(tick))),
        },
      ],
      series: [{ label: xLabel, value: (_, value) => figure(value) }, ...lines],
      bands: isStacked ? series.slice(1).map((_, index) => ({ series: [index + 2, index + 1] })) : [],
      cursor: sync ? { sync: { key: sync } } : {},
    },
    [x, ...drawn],
    place,
  )
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place)
}

for (const place of document.querySelectorAll('[data-chart]'))
  draw(place, JSON.parse(document.getElementById(place.dataset.chart).textContent))

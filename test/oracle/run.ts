import { parseArgs } from 'node:util'
import { runVector } from './adapter.ts'
import { readVectors } from './vectors.ts'

/** `node test/oracle/run.ts --vectors DIR`: how the engine does on published cases, by source. Fails when one fails. */
const { values } = parseArgs({
  options: {
    vectors: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
    verbose: { type: 'boolean', short: 'v' },
  },
})
if (values.help || values.vectors === undefined) {
  console.log(
    'usage: node test/oracle/run.ts --vectors DIR [--verbose]\nDIR holds vectors.json; see test/oracle/vectors.ts for the format.',
  )
  process.exit(values.help ? 0 : 2)
}

/** Fields of passed vectors that were not read, without their places. */
const unread = new Map<string, number>()
const bySource = new Map<string, { passed: number; failed: number; 'not expressible': number; disputed: number }>()
const remarks: string[] = []
for (const vector of readVectors(values.vectors)) {
  const counts = bySource.get(vector.source) ?? { passed: 0, failed: 0, 'not expressible': 0, disputed: 0 }
  bySource.set(vector.source, counts)
  const verdict = runVector(vector)
  if (vector.disputed) {
    counts.disputed++
    if (values.verbose && verdict.kind === 'failed')
      remarks.push(`disputed, not counted  ${vector.id}: ${verdict.differences.join('; ')}`)
    continue
  }
  counts[verdict.kind]++
  if (verdict.kind === 'passed')
    for (const field of verdict.unread.map(name => name.replaceAll(/\[\d+\]/g, '')))
      unread.set(field, (unread.get(field) ?? 0) + 1)
  if (verdict.kind === 'failed') remarks.push(`FAILED  ${vector.id}: ${verdict.differences.join('; ')}`)
  if (verdict.kind === 'not expressible') remarks.push(`not expressible  ${vector.id}: ${verdict.feature}`)
}

console.table(Object.fromEntries(bySource))
for (const remark of remarks) console.log(remark)
for (const [field, count] of unread) console.log(`not read, and passed all the same: ${field} (${count})`)
const rows = [...bySource.values()]
const sum = (pick: (row: (typeof rows)[number]) => number) => rows.reduce((total, row) => total + pick(row), 0)
const [passed, failed, missing] = [sum(row => row.passed), sum(row => row.failed), sum(row => row['not expressible'])]
const share = ((100 * missing) / Math.max(1, passed + failed + missing)).toFixed(1)
console.log(
  `${passed} passed, ${failed} failed, ${missing} not expressible (${share} %), ${sum(row => row.disputed)} disputed and not counted`,
)
if (failed > 0) process.exitCode = 1

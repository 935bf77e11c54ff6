import { parseArgs } from 'node:util'
import { type Bounds, cartCacheModel, type Guard, GUARDS } from './cart-cache.ts'
import { explore } from './checker.ts'

/** The model at a size that takes minutes: `npm run model`. */
const HELP = `node test/model/deep.ts [--guards]

Every interleaving of two writers and two readers under pairs of faults; prints how many states there are. Exit status 0 when
nothing was breached and all was seen.

  --guards   switch off every guard of the protocol, one after the other, and print the shortest counter-example of each`

const { values } = parseArgs({
  options: { guards: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
})
const TWO_BY_TWO = { writers: 2, readers: 2, reads: 1, kills: 0, restarts: 0, late: 0 }
const DEEP: readonly Bounds[] = [
  { writers: 1, readers: 2, reads: 2, kills: 1, restarts: 1, late: 0 },
  { writers: 1, readers: 2, reads: 2, kills: 1, restarts: 0, late: 1 },
  { ...TWO_BY_TWO, kills: 1, late: 1 },
  { ...TWO_BY_TWO, kills: 1, restarts: 1 },
  { ...TWO_BY_TWO, restarts: 1, late: 1 },
  { ...TWO_BY_TWO, kills: 2 },
]

function deep(): boolean {
  let total = 0
  let clean = true
  for (const bounds of DEEP) {
    const since = performance.now()
    const { states, isComplete, breach } = explore(cartCacheModel(bounds), 6_000_000)
    total += states
    clean &&= isComplete && !breach
    const found = breach
      ? `BREACH: ${breach.what}\n  ${breach.trace.join('\n  ')}`
      : isComplete
        ? 'no breach'
        : 'NOT ALL SEEN'
    console.log(
      `${JSON.stringify(bounds)}: ${states} states, ${found} (${Math.round((performance.now() - since) / 1000)} s)`,
    )
  }
  console.log(`${total} states in all`)
  return clean
}

function guards(): boolean {
  const bounds = { writers: 2, readers: 1, reads: 2, kills: 1, restarts: 1, late: 1 }
  return (Object.keys(GUARDS) as Guard[])
    .map(guard => {
      const { breach } = explore(cartCacheModel(bounds, [guard]), 6_000_000)
      console.log(
        `without "${GUARDS[guard]}": ${breach ? `${breach.what}\n  ${breach.trace.join('\n  ')}` : 'NO COUNTER-EXAMPLE'}`,
      )
      return breach !== undefined
    })
    .every(found => found)
}

if (values.help) console.log(HELP)
else process.exitCode = (values.guards ? guards() : deep()) ? 0 : 1

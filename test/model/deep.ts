import { parseArgs } from 'node:util'
import { CATALOGUE_GUARDS, catalogueModel } from './catalogue.ts'
import { cacheModeModel, MODE_GUARDS } from './cache-mode.ts'
import { type Bounds, cartCacheModel, GUARDS } from './cart-cache.ts'
import { explore, type Result } from './checker.ts'
import { LOGIN_GUARDS, loginDirectoryModel } from './login-directory.ts'

/** The models at a size that takes minutes: `npm run model`. */
const HELP = `npm run model -- [--guards] [--traces]

Every interleaving of two writers and two readers under pairs of faults, and of the other protocols; prints how many states there are. Then
switches off every guard, one after the other, and looks for a counter-example. Exit status 0 when nothing was breached, all was seen, and
no guard could be spared.

  --guards   only the guards
  --traces   print the shortest counter-example of each guard`

const { values } = parseArgs({
  options: {
    guards: { type: 'boolean', default: false },
    traces: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const STATES_MAX = 6_000_000
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
  const clean = [
    ...DEEP.map(
      bounds => [`cart cache ${JSON.stringify(bounds)}`, () => explore(cartCacheModel(bounds), STATES_MAX)] as const,
    ),
    ['cache mode', () => explore(cacheModeModel({ writes: 1, reads: 3, cuts: 3 }), STATES_MAX)] as const,
    [
      'catalogue',
      () => explore(catalogueModel({ writers: ['product', 'other', 'product'], instances: 2, kills: 1 }), STATES_MAX),
    ] as const,
    ['login directory', () => explore(loginDirectoryModel({ registrations: 4, kills: 2 }), STATES_MAX)] as const,
  ].map(([name, run]) => {
    const since = performance.now()
    const { states, isComplete, breach } = run()
    total += states
    const trace = breach ? `BREACH: ${breach.what}\n  ${breach.trace.join('\n  ')}` : ''
    const found = trace || (isComplete ? 'no breach' : 'NOT ALL SEEN')
    console.log(`${name}: ${states} states, ${found} (${Math.round((performance.now() - since) / 1000)} s)`)
    return isComplete && !breach
  })
  console.log(`${total} states in all`)
  return clean.every(Boolean)
}

function guards(): boolean {
  const bounds = { writers: 2, readers: 1, reads: 2, kills: 1, restarts: 1, late: 1 }
  const without = <G extends string>(all: Readonly<Record<G, string>>, run: (guard: G) => Result) =>
    (Object.keys(all) as G[]).map(guard => {
      const { breach } = run(guard)
      const trace = breach && values.traces ? `\n  ${breach.trace.join('\n  ')}` : ''
      const found = breach ? `${breach.what} (${breach.trace.length} steps)${trace}` : 'NO COUNTER-EXAMPLE'
      console.log(`without "${all[guard]}": ${found}`)
      return breach !== undefined
    })
  const found = [
    ...without(GUARDS, guard => explore(cartCacheModel(bounds, [guard]), STATES_MAX)),
    ...without(MODE_GUARDS, guard => explore(cacheModeModel({ writes: 1, reads: 2, cuts: 2 }, [guard]), STATES_MAX)),
    ...without(CATALOGUE_GUARDS, guard =>
      explore(catalogueModel({ writers: ['product', 'other'], instances: 2, kills: 1 }, [guard]), STATES_MAX),
    ),
    ...without(LOGIN_GUARDS, guard =>
      explore(loginDirectoryModel({ registrations: 3, kills: 1 }, [guard]), STATES_MAX),
    ),
  ]
  console.log(`${found.filter(Boolean).length} of ${found.length} guards are needed`)
  return found.every(Boolean)
}

if (values.help) console.log(HELP)
else {
  const isSound = values.guards || deep()
  process.exitCode = guards() && isSound ? 0 : 1
}

import type { ProductChange, ProductState } from '../model/product.ts'
import { type Command, CommandError, UsageError } from './command.ts'
import { withApp } from './with-app.ts'

/** Taking products off sale and putting them back. */
const STATES: Readonly<Record<string, ProductState>> = { withdraw: 'withdrawn', restore: 'active' }
const DONE: Readonly<Record<ProductState, string>> = { withdrawn: 'off sale', active: 'on sale' }

/** `cartload products`: takes products off sale, and puts them on sale again. */
export function productsCommand(projectDir: string): Command {
  return {
    name: 'products',
    summary: 'Takes products off sale (withdraw) and puts them back (restore)',
    usage: 'withdraw SKU… | restore SKU…',
    details:
      'withdraw: the product leaves all lists and cannot be added or ordered; in carts it stays, as not available, and is not counted.\n' +
      'restore:  it is sold again, and counts in the carts that still hold it.',
    options: { 'dry-run': { type: 'boolean', doc: 'show what would be changed' } },
    async run(args) {
      const [what = '', ...skus] = args.words
      const known = Object.hasOwn(STATES, what) ? STATES[what] : undefined
      if (!known || skus.length === 0) throw new UsageError('say: withdraw SKU… or restore SKU…')
      const status: ProductState = known
      const changes = [...new Set(skus)].map((sku): ProductChange => ({ sku, status }))
      await withApp(projectDir, async ({ catalogChanges }) => {
        const { refused, changed, unchanged } = await catalogChanges.check(changes)
        if (refused.length > 0) {
          const unknown = refused.map(({ sku }) => sku).join("', '")
          throw new CommandError(`nothing was changed: there is no product '${unknown}'`)
        }
        if (args.flag('dry-run')) {
          console.log(`Would change ${changed} products; ${unchanged} are ${DONE[status]} already.`)
          return
        }
        const done = await catalogChanges.apply(changes)
        console.log(`${done.changed} products are ${DONE[status]} now; ${done.unchanged} were already.`)
      })
    },
  }
}

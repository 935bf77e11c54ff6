import type { App } from '../app.ts'
import { type Command, UsageError } from './command.ts'
import { step } from './terminal.ts'
import { withApp } from './with-app.ts'

/** Drops what is cached of carts and of the catalogue; databases are not changed but for their cache epochs and the catalogue's version. */
export function cacheCommand(projectDir: string): Command {
  return {
    name: 'cache',
    summary: 'Drops cached carts and catalogue pages, as needed after a restore that loses less than a second',
    usage: 'invalidate',
    details: `invalidate: gives every shard a cache epoch, and the catalogue a version, that were never used before. Instances go on serving from the
            databases meanwhile, for about three seconds. A restore that loses more than a second is detected without it (docs/operations.md).`,
    options: { 'dry-run': { type: 'boolean', doc: 'say what would be dropped, change nothing' } },
    async run(args) {
      if (args.words[0] !== 'invalidate') throw new UsageError('say: invalidate')
      await withApp(projectDir, app => (args.flag('dry-run') ? show(app) : invalidate(app)))
    },
  }
}

async function show({ router, catalog }: App): Promise<void> {
  console.log(`Would drop the cached carts of ${router.shards.map(({ name }) => name).join(', ')},`)
  console.log(`and pages and totals of version ${catalog.version()} of the catalogue.`)
}

async function invalidate({ router, modes, catalog }: App): Promise<void> {
  await Promise.all(
    router.shards.map(shard => step(`drop the cached carts of ${shard.name}`, () => modes.renew(shard))),
  )
  await step('give the catalogue a new version', () => catalog.renew())
}

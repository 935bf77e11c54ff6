import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Config, socketOf } from '../config/config.ts'
import { hostToReach, isListening, type Listener, waitUntilListening } from '../lib/port-probe.ts'
import { compileAhead } from './compile.ts'
import { createPm2, type Pm2 } from './pm2.ts'
import { readinessOf } from './servers.ts'
import { type ProcessReport, StackError, type Step } from './stack.ts'

/**
 * The instances of this machine where the servers are outside: under PM2's usual home, so that `pm2 list`, `pm2 startup` and this program see the same.
 */
interface OutsideStack {
  readonly instances: Pm2
  /** @throws StackError when an instance does not come up */
  startInstances(step: Step): Promise<void>
  stop(step: Step): Promise<void>
  processes(): Promise<ProcessReport[]>
}

/** As in ecosystem.config.js. */
const NAME = 'cartload'
const START_MS_MAX = 30_000

/** The cluster over servers that the shop runs itself. */
export function createOutsideStack(config: Config): OutsideStack {
  const instances = createPm2(process.env['PM2_HOME'] ?? join(homedir(), '.pm2'), 'SIGINT')
  /** @throws StackError when that PM2 runs the instances of another folder, which must not be replaced or stopped by mistake */
  async function mine() {
    const all = (await instances.list()).filter(({ name }) => name === NAME)
    const other = all.find(({ folder }) => folder !== config.projectDir)
    if (other)
      throw new StackError(
        `the PM2 of ${instances.home} runs the instances of ${other.folder}: set another PM2_HOME for ${config.projectDir}`,
      )
    return all
  }
  const host = hostToReach(config.bind)
  const listenerOf = (index: number): Listener =>
    config.socketDir === undefined ? { host, port: config.instancePort + index } : socketOf(config.socketDir, index)

  return {
    instances,
    async startInstances(step) {
      await step(`start ${config.instances} instances`, async () => {
        const running = await mine()
        if (running.length === config.instances && running.every(({ status }) => status === 'online')) return
        if (running.length > 0) await instances.run('delete', NAME, '--silent')
        await compileAhead(config.projectDir)
        await instances.start(join(config.projectDir, 'ecosystem.config.js'))
        for (let index = 0; index < config.instances; index++)
          await waitUntilListening(listenerOf(index), START_MS_MAX).catch((error: unknown) => {
            throw new StackError(`instance ${index} did not start: cartload logs`, { cause: error })
          })
      })
    },
    async stop(step) {
      if ((await mine()).length > 0)
        await step('stop the instances', async () => void (await instances.run('delete', NAME, '--silent')))
    },
    async processes() {
      return Promise.all(
        (await mine()).map(async row => {
          const port = config.instancePort + row.index
          const { ready, degraded } = await readinessOf(config.opsPort + row.index, hostToReach(config.opsBind))
          const isHere = row.status === 'online' && ready && (await isListening({ host, port }))
          return { ...row, address: `${config.bind}:${port}`, healthy: isHere, degraded }
        }),
      )
    },
  }
}

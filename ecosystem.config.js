// PM2's view of cartload: one process per core, one port each, so that nginx balances requests. Used by `npm start`, and by
// itself in a deployment: `pm2 start ecosystem.config.js` with the addresses of MySQL and Redis in the environment or .env.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const dir = import.meta.dirname
if (existsSync(join(dir, '.env'))) process.loadEnvFile(join(dir, '.env'))

// Not the Node.js that runs PM2, which may be older.
const node = execFileSync('sh', [join(dir, 'bin', 'node-path')], { encoding: 'utf8', env: process.env }).trim()

export const apps = [
  {
    name: 'cartload',
    script: 'src/main.ts',
    cwd: dir,
    interpreter: node,
    // Fork mode: cluster mode ignores the interpreter and balances connections instead of requests.
    exec_mode: 'fork',
    instances: Number(process.env.CARTLOAD_INSTANCES || Math.max(2, availableParallelism())),
    // V8's own choice for both generations takes 100 MB more: a nursery of 8 MB (an add to a long cart is 5 % dearer than with 16), and an old
    // generation that is collected after it has grown by the least that V8 knows. Maglev, the compiler in the middle, holds 12 MB for itself,
    // and requests cost no more without it (docs/performance.md). glibc keeps what threads have freed, for each arena: two will do.
    node_args: ['--max-semi-space-size=8', '--heap-growing-percent=15', '--no-maglev'],
    env: {
      MALLOC_ARENA_MAX: '2',
      // Without it each process and each of its threads takes the TypeScript apart by itself: 40 MB.
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(dir, '.cartload', 'compile-cache'),
    },
    wait_ready: true,
    listen_timeout: 30_000,
    // A wrong configuration (src/ops/server-check.ts) is not mended by starting again: the sentence stays the last in the log.
    stop_exit_codes: [78],
    // Longer than the drain (src/model/limits.ts, drainMsMax), so that no request is cut off.
    kill_timeout: 12_000,
    exp_backoff_restart_delay: 100,
    max_memory_restart: '1G',
    // PM2 has each process keep the source maps of all its modules; our sources run as they are.
    disable_source_map_support: true,
    pmx: false, // PM2's own measuring of each request: metrics.ts has its own
    treekill: false,
    merge_logs: false,
    time: false,
  },
]

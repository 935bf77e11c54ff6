import { registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'

/** Makes `k6` and its modules mean the files of `modules/` in this thread. An import that has none fails by name. */
const MODULES: Readonly<Record<string, string>> = {
  k6: 'k6.ts',
  'k6/data': 'data.ts',
  'k6/execution': 'execution.ts',
  'k6/http': 'http.ts',
  'k6/metrics': 'metrics.ts',
  'k6/timers': 'timers.ts',
}

export function resolveModules(): void {
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier !== 'k6' && !specifier.startsWith('k6/')) return next(specifier, context)
      const file = MODULES[specifier]
      if (file === undefined)
        throw new Error(`'${specifier}' is not among what runs without k6: ${Object.keys(MODULES).join(', ')}`)
      return { url: pathToFileURL(join(import.meta.dirname, 'modules', file)).href, shortCircuit: true }
    },
  })
}

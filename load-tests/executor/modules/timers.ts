/** The module `k6/timers`. */
export { clearInterval, clearTimeout, setInterval, setTimeout } from 'node:timers'

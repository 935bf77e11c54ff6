/** The ordinary day, for hours: `--profile soak`. What to look at is what grows: memory, file handles, latency. */
export { default, options, setup } from './shop.ts'

import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { versionOf } from '../compare/generators.ts'

/** Where a figure was measured: without it, it says nothing. */
export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly memoryGb: number
  readonly kernel: string
  readonly node: string
  readonly k6: string
}

export async function machineOf(k6: string): Promise<Machine> {
  const [cpu] = cpus()
  return {
    cores: availableParallelism(),
    cpu: cpu?.model ?? arch(),
    memoryGb: Math.round(totalmem() / 1e9),
    kernel: `${type()} ${release()}`,
    node: process.version,
    k6: await versionOf(k6, 'version'),
  }
}

export const textOf = ({ cores, cpu, memoryGb, kernel, node, k6 }: Machine): string =>
  `${cores} cores (${cpu}), ${memoryGb} GB, ${kernel}, Node ${node}, ${k6}`

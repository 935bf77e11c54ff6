import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { versionOf } from '../compare/generators.ts'
import type { Generator } from './generator.ts'

/** Where a figure was measured: without it, it says nothing. */
export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly memoryGb: number
  readonly kernel: string
  readonly node: string
  /** What made the load, with its version. */
  readonly generator: string
}

export async function machineOf(generator: Generator): Promise<Machine> {
  const [cpu] = cpus()
  return {
    cores: availableParallelism(),
    cpu: cpu?.model ?? arch(),
    memoryGb: Math.round(totalmem() / 1e9),
    kernel: `${type()} ${release()}`,
    node: process.version,
    generator: await versionOf(generator.program, ...generator.args, 'version'),
  }
}

export const textOf = ({ cores, cpu, memoryGb, kernel, node, generator }: Machine): string =>
  `${cores} cores (${cpu}), ${memoryGb} GB, ${kernel}, Node ${node}, ${generator}`

import { readFileSync, statfsSync } from 'node:fs'
import { availableParallelism, freemem, totalmem } from 'node:os'
import { styleText } from 'node:util'
import { type Config, loadConfig } from '../config/config.ts'
import { releaseOf } from '../lib/release.ts'
import { type Finding, isFault } from '../lib/finding.ts'
import { checkServers } from '../ops/server-check.ts'
import { nodeAdvice } from './node-advice.ts'
import type { Command } from './command.ts'
import { table } from './terminal.ts'
import { serversOf } from './with-app.ts'

/** Looks at everything that cartload needs, servers and host, and says what to change. */
const CLOCK_MS_MAX = 1_000
const FILES_MIN = 4_096
const DISK_MB_MIN = 1_024
const DISK_SHARE_MIN = 0.05
/** What an instance takes under load (docs/performance.md). */
const INSTANCE_MB = 170

export function doctorCommand(projectDir: string): Command {
  return {
    name: 'doctor',
    summary: 'Checks servers, schemas, rights, settings and the host, and says what to change',
    details: 'Exit status 0 when nothing is wrong and everything can be reached; advice alone does not change it.',
    options: { json: { type: 'boolean', doc: 'as JSON' } },
    async run(args) {
      const { config, secrets } = loadConfig(projectDir)
      const checks = await checkServers(serversOf(secrets), releaseOf(projectDir))
      const findings: Finding[] = checks.flatMap(({ name, findings: found, version, role, clockMs }) => [
        ...(found.some(isFault) ? [] : [{ subject: name, kind: 'fine' as const, text: `${version}, ${role}` }]),
        ...found,
        ...clockFindings(name, clockMs),
      ])
      findings.push(...hostFindings(config))
      const faults = findings.filter(isFault).length
      if (args.flag('json')) console.log(JSON.stringify({ ok: faults === 0, findings }, undefined, 2))
      else {
        console.log(table(['what', 'state', 'found'], findings.map(rowOf)))
        console.log(
          faults > 0 ? `\n${faults} ${faults === 1 ? 'thing needs' : 'things need'} a change.` : '\nNothing is wrong.',
        )
      }
      if (faults > 0) process.exitCode = 1
    },
  }
}

function rowOf({ subject, kind, text }: Finding): string[] {
  const mark = {
    wrong: styleText('red', 'WRONG'),
    away: styleText('red', 'AWAY'),
    advice: styleText('yellow', 'advice'),
    fine: styleText('green', 'fine'),
  }[kind]
  return [subject, mark, text]
}

function clockFindings(subject: string, clockMs: number | undefined): Finding[] {
  if (clockMs === undefined || Math.abs(clockMs) <= CLOCK_MS_MAX) return []
  const seconds = (clockMs / 1000).toFixed(1)
  return [
    { subject, kind: 'wrong', text: `its clock is ${seconds} s off from this machine's: run an NTP client on both` },
  ]
}

function hostFindings(config: Config): Finding[] {
  const host = (kind: Finding['kind'], text: string): Finding => ({ subject: 'host', kind, text })
  const findings: Finding[] = []
  const files = openFilesMax()
  if (files !== undefined && files < FILES_MIN)
    findings.push(
      host('wrong', `a process may open ${files} files, and needs ${FILES_MIN}: ulimit -n, or LimitNOFILE of the unit`),
    )
  const disk = diskOf(config.dataDir)
  if (disk && (disk.freeMb < DISK_MB_MIN || disk.freeMb < disk.allMb * DISK_SHARE_MIN))
    findings.push(
      host(
        'wrong',
        `${Math.round(disk.freeMb)} MB of ${Math.round(disk.allMb)} are free on the disk of ${config.dataDir}`,
      ),
    )
  const needMb = memoryNeedMb(config)
  if (needMb > totalmem() / 1e6)
    findings.push(
      host(
        'wrong',
        `the settings need about ${needMb} MB of memory, and the machine has ${Math.round(totalmem() / 1e6)}`,
      ),
    )
  else if (freemem() / 1e6 < DISK_MB_MIN / 4)
    findings.push(host('advice', `${Math.round(freemem() / 1e6)} MB of memory are free`))
  const node = nodeAdvice()
  if (node !== undefined) findings.push(host('advice', node))
  if (findings.every(({ kind }) => kind === 'advice'))
    findings.unshift(
      host('fine', `${availableParallelism()} cores, ${Math.round(totalmem() / 1e9)} GB, Node ${process.version}`),
    )
  return findings
}

function memoryNeedMb(config: Config): number {
  const servers = config.embedded
    ? config.embeddedShards * (config.shardMemoryMb + 100) + config.sessionsMemoryMb + config.cacheMemoryMb
    : 0
  return config.instances * INSTANCE_MB + servers
}

/** Undefined where the system does not say. */
function openFilesMax(): number | undefined {
  try {
    const soft = /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined || soft === 'unlimited' ? undefined : Number(soft)
  } catch {
    return undefined
  }
}

function diskOf(folder: string): { freeMb: number; allMb: number } | undefined {
  try {
    const { bavail, blocks, bsize } = statfsSync(folder)
    return { freeMb: (bavail * bsize) / 1e6, allMb: (blocks * bsize) / 1e6 }
  } catch {
    return undefined // no data folder on this machine
  }
}

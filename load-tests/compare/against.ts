import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { PROJECT } from '../../test/support/servers.ts'
import { type Verdict, verdictOf, type Window } from './goals.ts'
import { type Lab, nameOf, thereAndBack } from './lab.ts'
import type { ScenarioName } from './scenarios.ts'
import { type Estimate, estimate, ratios } from './statistics.ts'

/**
 * This version beside an earlier one, `npm run compare -- view add mixed --against COMMIT`: both run at the same time with
 * servers of their own, and take turns until the interval of each ratio is narrow enough or the rounds are over.
 */
export interface Checkout {
  readonly commit: string
  readonly project: string
  remove(): void
}

/** Half of the interval may be this part of the ratio. */
const HALF_WIDTH_MAX = 0.03
const ROUNDS_MIN = 6
const ROUNDS_MAX = 60
/** The upper end of the interval of CPU per request. */
const DEARER_MAX = 1.05

const SCENARIOS: Readonly<Record<string, readonly ScenarioName[]>> = {
  view: ['view-10', 'view-304'],
  add: ['add-10'],
  products: ['products'],
  login: ['login'],
  mixed: ['mixed'],
}
export const COMPARED_BLOCKS = Object.keys(SCENARIOS)

/** A worktree of `commit` in a temporary folder, with the packages of its own lock file. @throws Error for an unknown commit */
export function checkOut(commit: string, say: (text: string) => void): Checkout {
  const git = (...words: string[]) =>
    execFileSync('git', words, { cwd: PROJECT, encoding: 'utf8', stdio: 'pipe' }).trim()
  let hash: string
  try {
    hash = git('rev-parse', '--short', '--verify', `${commit}^{commit}`)
  } catch {
    throw new Error(`--against: there is no commit '${commit}'`)
  }
  const project = join(mkdtempSync(join(tmpdir(), 'cl-against-')), 'cartload')
  say(`checking out ${hash}`)
  git('worktree', 'add', '--detach', project, hash)
  const remove = () => {
    git('worktree', 'remove', '--force', project)
    rmSync(dirname(project), { recursive: true, force: true })
  }
  try {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: project, stdio: ['ignore', 'ignore', 'inherit'] })
  } catch (error) {
    remove()
    throw error
  }
  return { commit: hash, project, remove }
}

export interface AgainstOptions {
  readonly commit: string
  readonly blocks: readonly string[]
  readonly seconds: number
  readonly warmSeconds: number
  say(text: string): void
  onWindow(window: Window & { readonly round: number }): void
}

export async function compareAgainst(lab: Lab, options: AgainstOptions): Promise<Verdict[]> {
  const verdicts: Verdict[] = []
  for (const block of options.blocks)
    for (const scenario of SCENARIOS[block] ?? []) verdicts.push(await compareScenario(lab, scenario, options))
  return verdicts
}

async function compareScenario(lab: Lab, scenario: ScenarioName, options: AgainstOptions): Promise<Verdict> {
  const { commit, seconds, warmSeconds, say, onWindow } = options
  const units = [
    { stack: 'cartload', scenario },
    { stack: 'against', scenario },
  ] as const
  for (const unit of units) {
    say(`warming ${nameOf(unit)}`)
    await lab.prepare(unit, warmSeconds)
  }
  const costs = { cartload: [] as number[], against: [] as number[] }
  let figure: Estimate = { median: Number.NaN, low: Number.NaN, high: Number.NaN }
  for (const { round, unit } of thereAndBack(units, ROUNDS_MAX)) {
    const window = await lab.window(unit, seconds)
    onWindow({ ...window, round })
    costs[unit.stack].push(window.cpuUs)
    if (costs.cartload.length !== costs.against.length) continue
    figure = estimate(ratios(costs.cartload, costs.against))
    const interval = `${figure.median.toFixed(3)} [${figure.low.toFixed(3)}, ${figure.high.toFixed(3)}]`
    say(`${scenario} ${round}: CPU per request against ${commit} × ${interval}`)
    if (round >= ROUNDS_MIN && (figure.high - figure.low) / 2 <= HALF_WIDTH_MAX * figure.median) break
  }
  const { isMet, isClear, ...verdict } = verdictOf(`${scenario}, CPU per request, against ${commit}`, figure, {
    atMost: DEARER_MAX,
  })
  // The whole interval counts: a version that may be dearer has not shown that it is not.
  return { ...verdict, isMet: isMet && isClear, isClear: true }
}

import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { expect } from 'chai'
import { startStopwatch } from '../support/stopwatch.ts'

describe('a stopwatch of the time that a process could run', () => {
  const burn = (ms: number) => {
    for (const until = performance.now() + ms; performance.now() < until; );
  }

  it('says what a clock says while nothing competes, and counts sleeping as time that passed', async () => {
    const elapsed = startStopwatch()
    await new Promise(resolve => setTimeout(resolve, 300))
    const { wallMs, lostMs, ranMs } = elapsed()
    expect(wallMs).to.be.at.least(295)
    expect(ranMs).to.be.closeTo(wallMs - lostMs, 0.001)
    expect(lostMs, 'a process that sleeps waits for no core').to.be.below(wallMs / 2)
  })

  it('leaves out what others took: beside busy loops on every core a promise keeps its meaning', async function () {
    const loops = Array.from({ length: availableParallelism() * 4 }, () => spawn('sh', ['-c', 'while :; do :; done']))
    try {
      await new Promise(resolve => setTimeout(resolve, 200))
      const cpu = process.cpuUsage()
      const elapsed = startStopwatch()
      burn(1_500)
      const { wallMs, ranMs } = elapsed()
      const used = process.cpuUsage(cpu)
      const usedMs = (used.user + used.system) / 1000
      expect(wallMs).to.be.at.least(1_500)
      expect(usedMs, 'the loops did compete').to.be.below(wallMs * 0.75)
      expect(ranMs, 'what it had is what it used, for it wanted to run all the time').to.be.closeTo(
        usedMs,
        wallMs * 0.25,
      )
    } finally {
      for (const loop of loops) loop.kill('SIGKILL')
    }
  })
})

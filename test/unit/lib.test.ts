import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { createBreaker } from '../../src/lib/circuit-breaker.ts'
import { createTimeoutQueue, type TimeoutQueue } from '../../src/lib/timeout-queue.ts'
import { isAppError } from '../../src/lib/errors.ts'
import { createBulkhead } from '../../src/lib/bulkhead.ts'
import { createKeyedMutex } from '../../src/lib/keyed-mutex.ts'
import { sentinelsOf } from '../../src/lib/redis.ts'
import { createSingleFlight } from '../../src/lib/single-flight.ts'
import { batchPerTick } from '../../src/lib/batch-per-tick.ts'

/** A promise that the test settles. */
function gateway(): { promise: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { promise, open: resolve }
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error: unknown) => (isAppError(error) ? error.code : String(error)),
  )

describe('lib', () => {
  describe('a time limit', () => {
    const block = (ms: number) => {
      for (const until = performance.now() + ms; performance.now() < until; );
    }

    const limited =
      (deadlines: TimeoutQueue) =>
      <T>(work: Promise<T>): Promise<T> =>
        new Promise((resolve, reject) => {
          const waiting = deadlines.begin(reject)
          work.then(
            value => waiting.end() && resolve(value),
            (error: unknown) => waiting.end() && reject(error),
          )
        })
    const within = <T>(work: Promise<T>, msMax: number) => limited(createTimeoutQueue(msMax))(work)

    it('gives up on what does not answer, and hands on what does', async () => {
      expect(
        await within(
          sleep(5).then(() => 'done'),
          100,
        ),
      ).to.equal('done')
      expect(await codeOf(within(new Promise(() => undefined), 10))).to.equal('Error: no answer after 10 ms')
      expect(await codeOf(within(Promise.reject(new Error('no')), 10))).to.equal('Error: no')
    })

    it('does not take a process that was blocked for a server that is slow', async () => {
      const answer = within(
        sleep(1).then(() => 'done'),
        20,
      )
      block(120)
      expect(await answer).to.equal('done')
      const never = within(new Promise(() => undefined), 20)
      block(120)
      expect(await codeOf(never)).to.equal('Error: no answer after 20 ms')
    })

    it('is kept for each of many answers', async () => {
      const limit = limited(createTimeoutQueue(60))
      const first = codeOf(limit(new Promise(() => undefined)))
      const second = limit(sleep(40).then(() => 'second'))
      await sleep(30)
      const asked = performance.now()
      const third = codeOf(limit(new Promise(() => undefined)))
      const fourth = limit(sleep(45).then(() => 'fourth'))
      expect(await first).to.equal('Error: no answer after 60 ms')
      expect(await second).to.equal('second')
      expect(await third).to.equal('Error: no answer after 60 ms')
      expect(performance.now() - asked).to.be.at.least(59)
      expect(await fourth).to.equal('fourth')
    })
  })

  describe('an address of Sentinels', () => {
    it('is read with its parts', () => {
      expect(sentinelsOf('redis+sentinel://app:p%40ss@a:1,[::1]:2,c/shop?user=s&password=t')).to.deep.equal({
        sentinels: [
          { host: 'a', port: 1 },
          { host: '::1', port: 2 },
          { host: 'c', port: 26_379 },
        ],
        name: 'shop',
        username: 'app',
        password: 'p@ss',
        sentinelUsername: 's',
        sentinelPassword: 't',
      })
    })

    for (const wrong of [
      'redis://a:1',
      'redis+sentinel://a:1',
      'redis+sentinel://a:99999/m',
      'redis+sentinel:///m',
      '',
    ])
      it(`is not '${wrong}'`, () => expect(sentinelsOf(wrong)).to.equal(undefined))
  })

  describe('a bulkhead', () => {
    const options = { name: 'thing', concurrencyMax: 2, queueMax: 1, waitMsMax: 50 }

    it('lets in as many as it is wide, in order', async () => {
      const gate = createBulkhead({ ...options, queueMax: 10, waitMsMax: 1000 })
      const seen: number[] = []
      let most = 0
      await Promise.all(
        [1, 2, 3, 4, 5].map(n =>
          gate.run(async () => {
            most = Math.max(most, gate.inside())
            seen.push(n)
            await sleep(2)
          }),
        ),
      )
      expect(most).to.equal(2)
      expect(seen).to.deep.equal([1, 2, 3, 4, 5])
      expect(gate.inside()).to.equal(0)
    })

    it('refuses at once when the queue is full', async () => {
      const gate = createBulkhead(options)
      const { promise, open } = gateway()
      const inside = [gate.run(() => promise), gate.run(() => promise), gate.run(() => promise)]
      expect(await codeOf(gate.run(() => promise))).to.equal('overloaded')
      open()
      await Promise.all(inside)
    })

    it('refuses a call that waited too long and keeps the place for the next', async () => {
      const gate = createBulkhead(options)
      const { promise, open } = gateway()
      const inside = [gate.run(() => promise), gate.run(() => promise)]
      expect(await codeOf(gate.run(async () => undefined))).to.equal('overloaded')
      expect(gate.waiting()).to.equal(0)
      open()
      await Promise.all(inside)
      expect(await gate.run(async () => 'in')).to.equal('in')
    })

    it('frees the place of work that fails', async () => {
      const gate = createBulkhead({ ...options, concurrencyMax: 1 })
      await gate.run(() => Promise.reject(new Error('no'))).catch(() => undefined)
      expect(await gate.run(async () => 'in')).to.equal('in')
    })
  })

  describe('a keyed queue', () => {
    it('runs the work of one key one after another and other keys beside it', async () => {
      const queue = createKeyedMutex()
      const log: string[] = []
      const work = (key: string, ms: number) => async () => {
        log.push(`${key}+`)
        await sleep(ms)
        log.push(`${key}-`)
      }
      await Promise.all([queue.run('a', work('a', 10)), queue.run('a', work('A', 1)), queue.run('b', work('b', 2))])
      expect(log.join(' ')).to.equal('a+ b+ b- a- A+ A-')
    })

    it('goes on after a failure, which only its caller sees', async () => {
      const queue = createKeyedMutex()
      const failing = queue.run('a', () => Promise.reject(new Error('no')))
      const next = queue.run('a', async () => 'done')
      expect(await codeOf(failing)).to.equal('Error: no')
      expect(await next).to.equal('done')
    })
  })

  describe('a batch per tick', () => {
    const asked: number[][] = []
    const double = batchPerTick(async (wanted: number[]) => {
      asked.push(wanted)
      if (wanted.includes(0)) throw new Error('zero')
      return wanted.map(one => one * 2)
    })
    beforeEach(() => asked.splice(0))

    it('asks once for all calls in it, and gives each its own answer', async () => {
      expect(await Promise.all([double(3), double(1), double(2)])).to.deep.equal([6, 2, 4])
      expect(asked).to.deep.equal([[3, 1, 2]])
    })

    it('is over when it has asked: a call after that is of the next', async () => {
      const first = double(1)
      await new Promise(resolve => setImmediate(resolve))
      expect(await Promise.all([first, double(2)])).to.deep.equal([2, 4])
      expect(asked).to.deep.equal([[1], [2]])
    })

    it('fails for all calls in it, and for none after it', async () => {
      const outcomes = await Promise.allSettled([double(5), double(0)])
      expect(outcomes.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected'])
      expect(await double(5)).to.equal(10)
    })
  })

  describe('a single flight', () => {
    it('shares one execution among calls that overlap, and starts anew after it', async () => {
      const flights = createSingleFlight<number>()
      let runs = 0
      const work = async () => {
        await sleep(1)
        return ++runs
      }
      expect(await Promise.all([flights.run('k', work), flights.run('k', work)])).to.deep.equal([1, 1])
      expect(await flights.run('k', work)).to.equal(2)
    })
  })

  describe('a breaker', () => {
    it('answers at once after a run of failures, and tries again later', async () => {
      let works = false
      let calls = 0
      const breaker = createBreaker({ name: 'thing', failuresToOpen: 3, openMs: 30, isFailure: () => true })
      const call = () =>
        breaker.run(async () => {
          calls++
          if (!works) throw new Error('down')
          return 'up'
        })
      for (let n = 0; n < 3; n++) await codeOf(call())
      expect(breaker.isOpen()).to.equal(true)
      expect(await codeOf(call())).to.equal('unavailable')
      expect(calls).to.equal(3)
      works = true
      await sleep(40)
      expect(await call()).to.equal('up')
      expect(breaker.isOpen()).to.equal(false)
    })

    it('lets one try while it is open, and the others wait for what becomes of it', async () => {
      const breaker = createBreaker({ name: 'thing', failuresToOpen: 1, openMs: 10, isFailure: () => true })
      await codeOf(breaker.run(() => Promise.reject(new Error('down'))))
      await sleep(15)
      const trial = gateway()
      const probe = breaker.run(() => trial.promise)
      expect(await codeOf(breaker.run(async () => 'up'))).to.equal('unavailable')
      trial.open()
      await probe
      expect(await codeOf(breaker.run(async () => 'up'))).to.equal('none')
    })

    it('does not count errors that say nothing of health', async () => {
      const breaker = createBreaker({ name: 'thing', failuresToOpen: 1, openMs: 1000, isFailure: () => false })
      await codeOf(breaker.run(() => Promise.reject(new Error('wrong argument'))))
      expect(await breaker.run(async () => 'up')).to.equal('up')
    })
  })
})

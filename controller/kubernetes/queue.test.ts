import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { Queue, type Outcome } from './queue.ts'

/** Work that ends when the test says so. */
type Job = Readonly<{ key: string; end: (outcome: Outcome) => Promise<void>; fail: () => Promise<void> }>

describe('a queue', () => {
  let clock: FakeClock
  let jobs: Job[]

  beforeEach(() => {
    clock = new FakeClock()
    jobs = []
  })

  function queueOf(concurrency = 1): Queue {
    return new Queue({
      run: key => new Promise((resolve, reject) => {
        const settled = () => new Promise<void>(done => setImmediate(done))
        jobs.push({
          key,
          end: outcome => {
            resolve(outcome)
            return settled()
          },
          fail: () => {
            reject(new Error('broken'))
            return settled()
          },
        })
      }),
      log: () => {},
      concurrency,
      clock,
    })
  }

  test('a key added many times while it waits is one piece of work', async () => {
    const queue = queueOf()
    for (const key of ['a', 'b', 'b', 'b']) queue.add(key)
    assert.deepEqual(jobs.map(({ key }) => key), ['a'])
    await jobs[0]?.end('done')
    await jobs[1]?.end('done')
    assert.deepEqual(jobs.map(({ key }) => key), ['a', 'b'])
    assert.equal(queue.size, 0)
  })

  test('a key added while in work runs once more after it, never beside it', async () => {
    const queue = queueOf(4)
    queue.add('a')
    queue.add('a')
    queue.add('a')
    assert.equal(jobs.length, 1)
    await jobs[0]?.end('done')
    assert.equal(jobs.length, 2)
    await jobs[1]?.end('done')
    assert.equal(jobs.length, 2)
  })

  test('no more keys are in work than allowed', async () => {
    const queue = queueOf(2)
    for (const key of ['a', 'b', 'c']) queue.add(key)
    assert.equal(jobs.length, 2)
    await jobs[1]?.end('done')
    assert.deepEqual(jobs.map(({ key }) => key), ['a', 'b', 'c'])
  })

  test('a failing key waits 5 ms, doubling up to 1,000 s, and starts anew after a success', async () => {
    const queue = queueOf()
    const waits: number[] = []
    queue.add('a')
    for (let i = 0; i < 20; i++) {
      const before = clock.now()
      const count = jobs.length
      await jobs.at(-1)?.end('retry')
      while (jobs.length === count) await clock.advance(Math.max(1, 5 * 2 ** i / 8))
      waits.push(clock.now() - before)
    }
    assert.ok(waits.slice(0, 4).every((wait, i) => wait >= 5 * 2 ** i && wait <= 6 * 2 ** i), String(waits))
    assert.ok(waits[19]! >= 1_000_000 && waits[19]! <= 1_400_000, String(waits[19]))
    await jobs.at(-1)?.end('done')
    queue.add('a')
    await jobs.at(-1)?.end('retry')
    const count = jobs.length
    await clock.advance(5)
    assert.equal(jobs.length, count + 1)
  })

  test('work that throws is tried again, and the others go on', async () => {
    const queue = queueOf()
    queue.add('a')
    queue.add('b')
    await jobs[0]?.fail()
    assert.equal(jobs[1]?.key, 'b')
    await jobs[1]?.end('done')
    await clock.advance(5)
    assert.equal(jobs[2]?.key, 'a')
  })

  test('adding a failing key again does not cut its wait short', async () => {
    const queue = queueOf()
    queue.add('a')
    for (let i = 0; i < 8; i++) {
      await jobs.at(-1)?.end('retry')
      await clock.advance(5 * 2 ** i)
    }
    const count = jobs.length
    await jobs.at(-1)?.end('retry')
    for (let i = 0; i < 10; i++) queue.add('a')
    await clock.advance(1_000)
    assert.equal(jobs.length, count)
  })

  test('a key added for later runs then; added for sooner, sooner', async () => {
    const queue = queueOf()
    queue.add('a', 1_000)
    queue.add('a', 2_000)
    await clock.advance(999)
    assert.equal(jobs.length, 0)
    await clock.advance(1)
    assert.equal(jobs.length, 1)
    await jobs[0]?.end('done')
    queue.add('b', 1_000)
    queue.add('b', 30)
    await clock.advance(30)
    assert.equal(jobs[1]?.key, 'b')
    await jobs[1]?.end('done')
    await clock.advance(5_000)
    assert.equal(jobs.length, 2)
  })

  test('a key that comes due while in work runs once more afterwards', async () => {
    const queue = queueOf()
    queue.add('a')
    queue.add('a', 10)
    await clock.advance(20)
    assert.equal(jobs.length, 1)
    await jobs[0]?.end('done')
    assert.equal(jobs.length, 2)
  })

  test('a forgotten key does not come back', async () => {
    const queue = queueOf()
    queue.add('a')
    await jobs[0]?.end('retry')
    queue.forget('a')
    await clock.advance(10_000)
    assert.equal(jobs.length, 1)
    queue.add('b')
    queue.add('b')
    queue.forget('b')
    await jobs[1]?.end('done')
    assert.equal(jobs.length, 2)
  })

  test('stopping waits for what runs and drops what does not', async () => {
    const queue = queueOf()
    queue.add('a')
    queue.add('b')
    queue.add('c', 10)
    let stopped = false
    const stopping = queue.stop().then(() => { stopped = true })
    await clock.advance(100)
    assert.equal(stopped, false)
    await jobs[0]?.end('retry')
    await stopping
    queue.add('d')
    await clock.advance(100)
    assert.deepEqual(jobs.map(({ key }) => key), ['a'])
  })
})

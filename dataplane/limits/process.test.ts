import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { createReference } from '../../test/limits/reference.ts'
import { epoch, limits, steps, takesOf } from '../../test/limits/takes.ts'
import { counterKeys } from './key.ts'
import type { Take } from './limiter.ts'
import { createProcessStore } from './process.ts'

const day = 86_400_000

const take = (algorithm: Take['algorithm'], amount: number, more: Partial<Take> = {}): Take => ({
  key: `ml/tiers/free ${algorithm.type} alice`, algorithm, amount, units: 1, hold: false, shadow: false,
  scope: 'Global', onStoreFailure: 'Local', ...more,
})

/** A store whose clock is set by hand. */
function storeAt(now: number, most?: number) {
  const clock = { now }
  return { clock, store: createProcessStore({ now: () => clock.now, ...(most !== undefined && { most }) }) }
}

const admitted = (store: { take(takes: readonly Take[]): { allowed: boolean } }, one: Take, tries: number) =>
  Array.from({ length: tries }, () => store.take([one])).filter(({ allowed }) => allowed).length

test('every algorithm admits what its definition says, in any order of requests, settlements and time', () => {
  fc.assert(fc.property(limits(10, 100, 1000, 60_000), steps, (of, todo) => {
    const { clock, store } = storeAt(epoch)
    const reference = createReference()
    const open: [ReturnType<typeof store.take>, NonNullable<ReturnType<typeof reference.take>>][] = []
    for (const step of todo) {
      if (step.do === 'wait') clock.now += step.ms
      if (step.do === 'take') {
        const takes = takesOf(of, step.key, step.units)
        const real = store.take(takes)
        const meant = reference.take(takes, clock.now)
        assert.equal(real.allowed, meant !== undefined)
        if (meant !== undefined) open.push([real, meant])
        for (const [i, { remaining }] of real.verdicts.entries()) {
          const one = takes[i]!
          const burst = one.algorithm.type === 'TokenBucket' ? one.algorithm.burst : 0
          assert.ok(Math.abs(remaining - Math.max(0, one.amount + burst - reference.used(one, clock.now))) < 1e-6)
        }
      }
      if (step.do === 'settle' && open.length > 0) {
        const [[real, meant]] = open.splice(step.which % open.length, 1) as [typeof open[0]]
        // A bucket keeps what it was charged, so that the reference need not know how much has run out since.
        const units = step.units.map((each, i) => (of[i]?.algorithm.type === 'TokenBucket' ? real.verdicts[i] && meant[i]?.units : each) ?? 0)
        real.held?.settle(units)
        reference.settle(meant, units)
      }
    }
  }), { numRuns: 400 })
})

test('a fixed window begins at whole windows of UTC, a month at its first day', () => {
  const { clock, store } = storeAt(Date.UTC(2026, 1, 27, 23, 59, 59, 999))
  const daily = take({ type: 'FixedWindow', window: day }, 2)
  assert.equal(admitted(store, daily, 5), 2)
  assert.deepEqual(store.take([daily]).verdicts, [{ allows: false, remaining: 0, resetAfter: 1, retryAfter: 1 }])
  clock.now += 1
  assert.equal(admitted(store, daily, 5), 2)
  const monthly = take({ type: 'FixedWindow', window: 'month' }, 3, { key: 'ml/tiers/monthly FixedWindow alice' })
  assert.equal(admitted(store, monthly, 5), 3)
  clock.now = Date.UTC(2026, 1, 28, 23, 59, 59, 999)
  assert.equal(admitted(store, monthly, 5), 0)
  clock.now += 1
  assert.equal(admitted(store, monthly, 5), 3)
})

test('a request that waits as long as it was told is admitted, and a millisecond earlier it is not', () => {
  const algorithms: Take['algorithm'][] = [
    { type: 'FixedWindow', window: 1000 }, { type: 'SlidingWindow', window: 1000 }, { type: 'SlidingLog', window: 1000 },
    { type: 'TokenBucket', window: 1000, burst: 3 },
  ]
  fc.assert(fc.property(fc.constantFrom(...algorithms), fc.array(fc.tuple(fc.nat(700), fc.integer({ min: 1, max: 5 }))), fc.integer({ min: 1, max: 6 }), (algorithm, before, units) => {
    const { clock, store } = storeAt(epoch)
    for (const [ms, each] of before) {
      clock.now += ms
      store.take([take(algorithm, 6, { units: each })])
    }
    const asked = take(algorithm, 6, { units, key: take(algorithm, 6).key })
    const look = () => store.take([asked, { ...asked, key: 'ml/other/none FixedWindow', algorithm: { type: 'FixedWindow', window: 1 }, amount: 0, units: 1 }]).verdicts[0]
    const told = look()?.retryAfter ?? 0
    if (told === 0) return
    // What a bucket has earned is no whole number, and rounded.
    const early = algorithm.type === 'TokenBucket' ? 2 : 1
    if (told > early) {
      clock.now += told - early
      assert.equal(look()?.allows, false, 'earlier')
      clock.now -= told - early
    }
    clock.now += told
    assert.equal(look()?.allows, true, 'as told')
  }))
})

test('either all limits are charged or none, and what a shadow refuses refuses nobody', () => {
  const { store } = storeAt(epoch)
  const minute = { type: 'FixedWindow', window: 60_000 } as const
  const wide = take(minute, 10, { key: 'ml/p/wide FixedWindow' })
  const narrow = take(minute, 1, { key: 'ml/p/narrow FixedWindow' })
  const shadow = take(minute, 2, { key: 'ml/p/shadow FixedWindow', shadow: true })
  assert.deepEqual(store.take([wide, narrow, shadow]).verdicts.map(({ remaining }) => remaining), [9, 0, 1])
  const refused = store.take([wide, narrow, shadow])
  assert.equal(refused.allowed, false)
  assert.deepEqual(refused.verdicts.map(({ allows, remaining }) => [allows, remaining]), [[true, 9], [false, 0], [true, 1]])
  assert.deepEqual([1, 2, 3].map(() => store.take([wide, shadow])).map(({ allowed, verdicts }) => [allowed, verdicts[1]?.allows]),
    [[true, true], [true, false], [true, false]])
})

test('a reservation is settled to what it came to, given back whole, or ended', () => {
  const { store } = storeAt(epoch)
  const tokens = take({ type: 'FixedWindow', window: 60_000 }, 100, { units: 60, hold: true })
  const left = () => store.take([{ ...tokens, units: 0, hold: false }]).verdicts[0]?.remaining
  const first = store.take([tokens])
  assert.equal(store.take([tokens]).allowed, false)
  first.held?.settle([25])
  assert.equal(left(), 75)
  store.take([tokens]).held?.settle(undefined)
  assert.equal(left(), 75)
  // What came to more than was reserved is charged all the same, and what is left is never less than nothing.
  store.take([tokens]).held?.settle([90])
  assert.equal(left(), 0)

  const concurrent = take({ type: 'Concurrency' }, 2, { hold: true })
  const running = [store.take([concurrent]), store.take([concurrent])]
  assert.equal(store.take([concurrent]).allowed, false)
  running[0]?.held?.settle([1])
  assert.equal(admitted(store, concurrent, 2), 1)
})

test('an edit of the amount goes on from what was counted, and another name counts anew', () => {
  const { store } = storeAt(epoch)
  const limit = { policy: 'ml/tiers', name: 'free', counters: [{ type: 'Principal' }], algorithm: { type: 'FixedWindow', window: 60_000 } } as const
  const key = counterKeys(limit)(['alice'])
  assert.equal(admitted(store, take(limit.algorithm, 10, { key }), 7), 7)
  assert.equal(admitted(store, take(limit.algorithm, 8, { key: counterKeys({ ...limit })(['alice']) }), 7), 1)
  assert.equal(admitted(store, take({ type: 'FixedWindow', window: day }, 12, { key }), 9), 4)
  assert.equal(admitted(store, take(limit.algorithm, 8, { key: counterKeys({ ...limit, name: 'basic' })(['alice']) }), 9), 8)
})

test('keys tell all values apart, and show none that may be a secret', () => {
  const limit = { policy: 'ml/tiers', name: 'free', algorithm: { type: 'FixedWindow', window: 1000 } } as const
  const principal = counterKeys({ ...limit, counters: [{ type: 'Principal' }, { type: 'Model' }] })
  fc.assert(fc.property(fc.array(fc.string(), { minLength: 2, maxLength: 2 }), fc.array(fc.string(), { minLength: 2, maxLength: 2 }), (a, b) => {
    assert.equal(principal(a) === principal(b), a[0] === b[0] && a[1] === b[1])
  }))
  assert.equal(principal(['alice', 'm']), 'ml/tiers/free FixedWindow alice m')
  assert.notEqual(principal(['a b', 'c']), principal(['a', 'b c']))
  const header = counterKeys({ ...limit, counters: [{ type: 'Header', name: 'authorization' }] })
  assert.doesNotMatch(header(['sk-123']), /sk-123/)
  assert.ok(principal(['x'.repeat(100_000), 'y'.repeat(100_000)]).length < 200)
})

test('flooded with keys, it forgets no count that is in use: new keys share, and are refused at worst', () => {
  const { clock, store } = storeAt(epoch, 640)
  const minute = { type: 'FixedWindow', window: 60_000 } as const
  const of = (name: string) => take(minute, 3, { key: `ml/tiers/free FixedWindow ${name}` })
  assert.equal(admitted(store, of('alice'), 5), 3)
  let admissions = 0
  for (let i = 0; i < 100_000; i++) if (store.take([of(`flood-${i}`)]).allowed) admissions++
  assert.equal(store.take([of('alice')]).allowed, false)
  assert.ok(store.size() <= 640 + 64 * 64, `${store.size()} counts`)
  assert.ok(admissions <= 3 * store.size(), `${admissions} admitted`)
  // Who came to share a count goes on sharing it, also when there is room of its own.
  clock.now += 60_000
  for (let i = 0; i < 2000; i++) store.take([of(`later-${i}`)])
  assert.ok(store.size() <= 640 + 64 * 64)
  clock.now += 60_000
  assert.equal(admitted(store, of('bob'), 5), 3)
})

test('counts that have expired make room', () => {
  const { clock, store } = storeAt(epoch)
  for (let i = 0; i < 20_000; i++) {
    clock.now += 1
    store.take([take({ type: 'FixedWindow', window: 10 }, 1, { key: `ml/p/l FixedWindow ${i}` })])
  }
  assert.ok(store.size() < 2000, `${store.size()} counts`)
})

test('a log of any amount stays small, and never forgets too early', () => {
  const { clock, store } = storeAt(epoch)
  const log = take({ type: 'SlidingLog', window: 3_600_000 }, 1_000_000)
  const times: number[] = []
  for (let i = 0; i < 100_000; i++) {
    clock.now += 100
    if (store.take([log]).allowed) times.push(clock.now)
  }
  const used = 1_000_000 - (store.take([{ ...log, units: 0 }]).verdicts[0]?.remaining ?? 0)
  const exact = times.filter((time) => time > clock.now - 3_600_000).length
  assert.ok(used >= exact && used <= exact + 10, `${used} counted, ${exact} taken`)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import '../../test/steady.ts'
import { createLimiter } from './create.ts'
import type { Limiter, Take } from './limiter.ts'
import type { Waited } from './queue.ts'

const running = (amount: number, more: Partial<Take> = {}): Take => ({
  key: 'ml/gpu/busy Concurrency', algorithm: { type: 'Concurrency' }, amount, units: 1, hold: true, shadow: false,
  scope: 'Global', onStoreFailure: 'Local', ...more,
})

type Asked = { who: string; result: Promise<Waited>; leave: () => void }

function ask(limiter: Limiter, who: string, takes: readonly Take[], more: { maxWait?: number; maxDepth?: number; deadline?: number; queues?: readonly boolean[] } = {}): Asked {
  let leave = () => {}
  const result = Promise.resolve(limiter.wait({
    tenant: 'ml', takes, principal: who, deadline: more.deadline,
    queues: takes.map((_, i) => (more.queues?.[i] === false ? undefined : { maxWait: more.maxWait ?? 5000, maxDepth: more.maxDepth ?? 100 })),
    onLeave: (then) => {
      leave = then
    },
  }))
  return { who, result, leave: () => leave() }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('principals that wait take turns, whoever came with more', async () => {
  const limiter = createLimiter()
  const [first] = [await ask(limiter, 'x', [running(1)]).result]
  const order: string[] = []
  const all = [...Array.from({ length: 5 }, () => 'greedy'), 'modest', 'other', 'modest'].map((who) => {
    const asked = ask(limiter, who, [running(1)])
    return asked.result.then(async ({ decision }) => {
      order.push(who)
      await turn()
      limiter.settle(decision)
    })
  })
  await turn()
  limiter.settle(first.decision)
  await Promise.all(all)
  assert.deepEqual(order, ['greedy', 'modest', 'other', 'greedy', 'modest', 'greedy', 'greedy', 'greedy'])
  await limiter.close()
})

test('who comes while others wait does not go before them', async () => {
  const limiter = createLimiter()
  const first = await ask(limiter, 'a', [running(1)]).result
  const second = ask(limiter, 'b', [running(1)])
  await turn()
  limiter.settle(first.decision)
  const third = ask(limiter, 'c', [running(1)])
  const { decision } = await second.result
  assert.equal(decision.allowed, true)
  limiter.settle(decision)
  assert.equal((await third.result).decision.allowed, true)
  await limiter.close()
})

test('the line is bounded, in length and in time, by the deadline too', async () => {
  const limiter = createLimiter()
  await ask(limiter, 'a', [running(1)]).result
  const [waiting] = [ask(limiter, 'b', [running(1)], { maxDepth: 1, maxWait: 40 })]
  await turn()
  assert.equal((await ask(limiter, 'c', [running(1)], { maxDepth: 1 }).result).queue, 'full')
  const deadline = ask(limiter, 'd', [running(1)], { deadline: performance.now() + 10 })
  assert.equal((await deadline.result).queue, 'timeout')
  const timedOut = await waiting.result
  assert.equal(timedOut.queue, 'timeout')
  assert.equal(timedOut.decision.allowed, false)
  assert.equal((await ask(limiter, 'e', [running(1)], { deadline: performance.now() - 1 }).result).queue, 'timeout')
  await limiter.close()
})

test('who leaves frees the place, and takes nothing along', async () => {
  const limiter = createLimiter()
  const first = await ask(limiter, 'a', [running(1)]).result
  const [left, stays] = [ask(limiter, 'b', [running(1)]), ask(limiter, 'c', [running(1)])]
  await turn()
  left.leave()
  assert.equal((await left.result).queue, 'left')
  limiter.settle(first.decision)
  const { decision } = await stays.result
  assert.equal(decision.allowed, true)
  limiter.settle(decision)
  assert.equal((await ask(limiter, 'd', [running(1)]).result).decision.allowed, true)
  await limiter.close()
})

test('what nobody gives back is waited for until its time, and not at all where that is too late', async () => {
  const limiter = createLimiter()
  const window = running(2, { algorithm: { type: 'SlidingLog', window: 120 }, hold: false, key: 'ml/gpu/rate SlidingLog' })
  assert.ok((await ask(limiter, 'a', [window]).result).decision.allowed)
  assert.ok((await ask(limiter, 'a', [window]).result).decision.allowed)
  let late = false
  const timer = setTimeout(() => { late = true }, 15)
  const hasty = await ask(limiter, 'a', [window], { maxWait: 20 }).result
  clearTimeout(timer)
  assert.deepEqual([hasty.queue, late], ['timeout', false], 'refused at once, before any timer')
  const patient = await ask(limiter, 'a', [window], { maxWait: 1000 }).result
  assert.equal(patient.decision.allowed, true)
  await limiter.close()
})

test('a limit without a queue refuses at once, and one that keeps only some does not keep the others', async () => {
  const limiter = createLimiter()
  const own = (who: string) => running(1, { key: `ml/gpu/own Concurrency ${who}` })
  const first = await ask(limiter, 'a', [running(2), own('a')]).result
  const second = await ask(limiter, 'b', [running(2), own('b')]).result
  const strict = await ask(limiter, 'a', [own('a'), running(2)], { queues: [false, true] }).result
  assert.deepEqual([strict.decision.allowed, strict.queue], [false, undefined])
  // Both wait for a place; a's own limit keeps it when one is free, and c goes.
  const [again, other] = [ask(limiter, 'a', [running(2), own('a')]), ask(limiter, 'c', [running(2), own('c')])]
  await turn()
  limiter.settle(second.decision)
  const { decision } = await other.result
  assert.equal(decision.allowed, true)
  limiter.settle(first.decision)
  assert.equal((await again.result).decision.allowed, true)
  await limiter.close()
})

test('what is more than there ever is does not wait', async () => {
  const limiter = createLimiter()
  const asked = await ask(limiter, 'a', [running(3, { units: 4 })]).result
  assert.deepEqual([asked.decision.allowed, asked.queue, asked.decision.verdicts[0]?.retryAfter], [false, undefined, Infinity])
  await limiter.close()
})

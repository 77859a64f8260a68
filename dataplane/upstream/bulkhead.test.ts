import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bulkhead, type BulkheadTerms } from './bulkhead.ts'

const never = Number.POSITIVE_INFINITY

/** A request that may wait; `end` is its client's leaving, or the end of its answer. */
function waiter(body?: Buffer) {
  const ends: (() => void)[] = []
  return {
    ended: false,
    body,
    onEnd(callback: () => void) {
      if (this.ended) callback()
      else ends.push(callback)
    },
    end() {
      this.ended = true
      for (const callback of ends) callback()
    },
  }
}

/** One whose time is what a test says it is. */
function bulkheadAt(terms: BulkheadTerms) {
  const clock = { now: 0 }
  return { bulkhead: new Bulkhead(terms, () => clock.now), clock }
}

const code = (outcome: Awaited<ReturnType<Bulkhead['enter']>>) => outcome?.code ?? 'in'

test('so many are served at once, so many wait in their order, and more are refused', async () => {
  const { bulkhead } = bulkheadAt({ places: 1, pending: 2 })
  const [a, b, c, d] = [waiter(), waiter(), waiter(), waiter()]
  assert.equal(bulkhead.enter(a, never), undefined)
  const order: string[] = []
  const waiting = [b, c].map((one, i) => Promise.resolve(bulkhead.enter(one, never)).then((how) => order.push(`${i} ${code(how)}`)))
  assert.equal(code(await bulkhead.enter(d, never)), 'overloaded')
  assert.deepEqual([bulkhead.inside, bulkhead.waiting], [1, 2])
  bulkhead.leave(a)
  assert.deepEqual([bulkhead.inside, bulkhead.waiting], [1, 1])
  bulkhead.leave(b)
  await Promise.all(waiting)
  assert.deepEqual(order, ['0 in', '1 in'])
  bulkhead.leave(c)
  assert.deepEqual([bulkhead.inside, bulkhead.waiting], [0, 0])
})

test('nobody who comes later passes those that wait', () => {
  const { bulkhead } = bulkheadAt({ places: 1, pending: 1 })
  const [a, b] = [waiter(), waiter()]
  void bulkhead.enter(a, never)
  const waiting = bulkhead.enter(b, never)
  bulkhead.leave(a)
  assert.ok(bulkhead.enter(waiter(), never) instanceof Promise)
  assert.ok(waiting instanceof Promise)
  assert.equal(bulkhead.inside, 1)
})

test('a client that leaves gives up its place, in the line and inside, even in the moment in which it gets it', async () => {
  const { bulkhead } = bulkheadAt({ places: 1, pending: 5 })
  const [a, b, c] = [waiter(), waiter(), waiter()]
  void bulkhead.enter(a, never)
  const second = bulkhead.enter(b, never)
  const third = bulkhead.enter(c, never)
  b.end()
  assert.equal(bulkhead.waiting, 1)
  assert.equal(code(await second), 'client_closed')
  bulkhead.leave(a)
  c.end()
  assert.equal(code(await third), 'in')
  assert.equal(bulkhead.inside, 0)
  bulkhead.leave(c)
  assert.equal(bulkhead.inside, 0)
})

test('who waits until it is too late is answered, and the others go on waiting', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { bulkhead } = bulkheadAt({ places: 1, pending: 5 })
  void bulkhead.enter(waiter(), never)
  const hurried = bulkhead.enter(waiter(), 50)
  void bulkhead.enter(waiter(), 5000)
  t.mock.timers.tick(50)
  assert.equal(code(await hurried), 'timeout')
  assert.equal(bulkhead.waiting, 1)
})

test('who cannot be served in time by how fast places come free is refused at once', async () => {
  const { bulkhead, clock } = bulkheadAt({ places: 2, pending: 100 })
  const inside = [waiter(), waiter()]
  for (const one of inside) void bulkhead.enter(one, never)
  for (let i = 0; i < 10; i++) void bulkhead.enter(waiter(), never)
  // One every 100 ms.
  for (const one of inside) {
    clock.now += 100
    bulkhead.leave(one)
  }
  assert.equal(bulkhead.waiting, 8)
  assert.equal(code(await bulkhead.enter(waiter(), clock.now + 850)), 'overloaded')
  assert.ok(bulkhead.enter(waiter(), clock.now + 2000) instanceof Promise)
})

test('a backend that stands still is noticed, though it was fast before', async () => {
  const { bulkhead, clock } = bulkheadAt({ places: 1, pending: 100 })
  let last = waiter()
  void bulkhead.enter(last, never)
  for (let i = 0; i < 10; i++) {
    clock.now += 10
    bulkhead.leave(last)
    void bulkhead.enter(last = waiter(), never)
  }
  assert.ok(bulkhead.enter(waiter(), clock.now + 500) instanceof Promise)
  clock.now += 10_000
  assert.equal(code(await bulkhead.enter(waiter(), clock.now + 300)), 'overloaded')
})

test('what waits is bounded in bytes too', async () => {
  const { bulkhead } = bulkheadAt({ places: 1, pending: 1000 })
  void bulkhead.enter(waiter(), never)
  const large = Buffer.alloc(33_554_432)
  const two = [waiter(large), waiter(large)]
  for (const one of two) assert.ok(bulkhead.enter(one, never) instanceof Promise)
  assert.equal(code(await bulkhead.enter(waiter(Buffer.alloc(1)), never)), 'overloaded')
  two[0]!.end()
  assert.ok(bulkhead.enter(waiter(large), never) instanceof Promise)
})

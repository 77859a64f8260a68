import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inSlices, type Sliced } from './sliced.ts'

/** Work for so many milliseconds, a fifth at a time. */
function* work(milliseconds: number): Sliced<number> {
  for (let i = 0; i < milliseconds * 5; i++) {
    const until = performance.now() + 0.2
    while (performance.now() < until);
    yield
  }
  return milliseconds
}

test('however many pieces of work there are, a turn of the event loop takes no longer', async () => {
  let turns = 0
  let running = true
  const count = (): void => {
    turns++
    if (running) setImmediate(count)
  }
  count()
  let spent = 0
  const all = Array.from({ length: 20 }, () => inSlices(work(4), (each) => { spent += each }))
  assert.deepEqual(await Promise.all(all), Array<number>(20).fill(4))
  running = false
  // 80 milliseconds, of which one is done at a time: on a machine with other things to do a stretch is cut short by them.
  assert.ok(turns >= 40, `${turns} turns`)
  assert.ok(spent >= 80, `${spent} ms`)
})

test('work that fails fails alone', async () => {
  // oxlint-disable-next-line require-yield -- it does not come to that
  function* failing(): Sliced { throw new TypeError('no') }
  const [failed, fine] = await Promise.allSettled([inSlices(failing(), () => {}), inSlices(work(1), () => {})])
  assert.deepEqual([failed.status, fine.status], ['rejected', 'fulfilled'])
})

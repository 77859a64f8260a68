import assert from 'node:assert/strict'
import { test } from 'node:test'
import './steady.ts'
import { wallClock } from './wall.ts'

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4))

test('what a test waits for comes in its order and after its time, whoever stands still meanwhile', async () => {
  const [from, wall] = [performance.now(), wallClock()]
  const order: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  setTimeout(() => { order.push('the last'); resolve() }, 120)
  const cleared = setTimeout(() => order.push('what was cleared'), 110)
  const again = setTimeout((what: string) => order.push(what), 60, 'what was set anew')
  setTimeout(() => Atomics.wait(nobodyWakes, 0, 0, 300), 20)
  setTimeout(() => {
    clearTimeout(cleared)
    again.refresh()
    setTimeout(() => order.push('what began later'), 40)
  }, 40)
  const signal = AbortSignal.timeout(80)
  signal.addEventListener('abort', () => order.push('a signal'))
  await promise
  assert.deepEqual(order.toSorted(), ['a signal', 'the last', 'what began later', 'what was set anew'])
  assert.equal(order.at(-1), 'the last')
  assert.ok(wallClock() - wall >= 300 + 100 && performance.now() - from >= 118, `${performance.now() - from} ms here`)
  assert.equal(signal.reason instanceof DOMException && signal.reason.name, 'TimeoutError')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Window } from './window.ts'

const fill = (window: Window, count: number, failed: boolean, now: number) => {
  for (let i = 0; i < count; i++) window.record(failed, false, now)
}

test('of few requests nothing is told, however many of them failed', () => {
  const window = new Window(60)
  fill(window, 19, true, 1000)
  assert.equal(window.last(20, 1000), undefined)
  fill(window, 1, false, 1500)
  assert.deepEqual(window.last(20, 1500), { requests: 20, failed: 19, slow: 0 })
})

test('where there are many requests, those of long ago do not hide what happens now', () => {
  const window = new Window(60)
  for (let second = 0; second < 30; second++) fill(window, 1000, false, second * 1000)
  fill(window, 600, true, 30_500)
  assert.deepEqual(window.last(20, 30_500), { requests: 1600, failed: 600, slow: 0 })
  fill(window, 600, true, 31_500)
  assert.deepEqual(window.last(20, 31_500), { requests: 1200, failed: 1200, slow: 0 })
})

test('where there are few, it looks back as far as it takes, and no farther than it remembers', () => {
  const window = new Window(60)
  for (let second = 0; second < 40; second += 2) fill(window, 1, second >= 20, second * 1000)
  assert.deepEqual(window.last(20, 38_000), { requests: 20, failed: 10, slow: 0 })
  assert.deepEqual(window.last(10, 38_000), { requests: 10, failed: 10, slow: 0 })
  assert.equal(window.last(20, 61_000), undefined)
})

test('slow requests are counted beside failed ones, and all is forgotten on demand', () => {
  const window = new Window(60)
  for (let i = 0; i < 20; i++) window.record(i % 4 === 0, i % 2 === 0, 5000)
  assert.deepEqual(window.last(20, 5000), { requests: 20, failed: 5, slow: 10 })
  window.clear()
  assert.equal(window.last(1, 5000), undefined)
})

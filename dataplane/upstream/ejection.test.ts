import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ejection, mayEject } from './ejection.ts'

const terms = { consecutiveErrors: 3, window: 10_000, ejectFor: 1000, maxEjectedPercent: 50 }

test('failures in a row within the window put an endpoint out; a success between them starts anew', () => {
  const ejection = new Ejection()
  assert.equal(ejection.failed(terms, 0), false)
  assert.equal(ejection.failed(terms, 1), false)
  ejection.succeeded(2)
  assert.equal(ejection.failed(terms, 3), false)
  assert.equal(ejection.failed(terms, 4), false)
  assert.equal(ejection.failed(terms, 5), true)
})

test('failures that do not follow each other within the window put nobody out', () => {
  const ejection = new Ejection()
  for (let at = 0; at < 100_000; at += 9000) assert.equal(ejection.failed(terms, at), false)
})

test('each time is longer, up to a limit, and the first again after as long a time of being good', () => {
  const ejection = new Ejection()
  const out = (now: number) => ejection.eject(terms, now) - now
  assert.deepEqual([out(0), out(2000), out(5000)], [1000, 2000, 3000])
  ejection.succeeded(9000)
  assert.equal(out(9500), 4000)
  ejection.succeeded(20_000)
  assert.equal(out(20_000), 1000)
  let now = 20_000
  for (let i = 0; i < 20; i++) assert.ok(out(now += 1000) <= 10_000)
})

test('no more are put out than the cap says, of those that are fit; of one alone, none', () => {
  assert.equal(mayEject(terms, 0, 1), false)
  assert.equal(mayEject(terms, 0, 2), true)
  assert.equal(mayEject(terms, 1, 2), false)
  assert.equal(mayEject(terms, 4, 10), true)
  assert.equal(mayEject(terms, 5, 10), false)
  assert.equal(mayEject({ ...terms, maxEjectedPercent: 100 }, 9, 10), true)
  assert.equal(mayEject({ ...terms, maxEjectedPercent: 0 }, 0, 10), false)
})

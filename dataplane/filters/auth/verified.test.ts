import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous, type Principal } from '../../pipeline/principal.ts'
import { keyOf, Verified } from './verified.ts'

const named = (consumer: string): Principal => ({ ...anonymous, via: 'jwt', consumer })
const consumerOf = (verdict: ReturnType<Verified['get']>) => verdict && 'consumer' in verdict ? verdict.consumer : undefined

test('a token is remembered until its time, and not a moment longer', () => {
  const verified = new Verified(10_000)
  verified.set('a', named('ann'), 100, 1000)
  assert.equal(consumerOf(verified.get('a', 999)), 'ann')
  assert.equal(verified.get('a', 1000), undefined)
  assert.equal(verified.bytes, 0)
})

test('a token counts only while what it rests on does', () => {
  const verified = new Verified(10_000)
  let holds = true
  verified.set('a', named('ann'), 100, 1000, () => holds)
  assert.equal(consumerOf(verified.get('a', 0)), 'ann')
  holds = false
  assert.equal(verified.get('a', 0), undefined)
  assert.equal(verified.bytes, 0)
})

test('what is remembered is bounded in bytes, and those in use stay', () => {
  const verified = new Verified(100_000)
  verified.set('used', named('used'), 100, 1e6)
  let most = 0
  for (let i = 0; i < 10_000; i++) {
    assert.equal(consumerOf(verified.get('used', 0)), 'used')
    verified.set(`made-up-${i}`, named('x'), i % 500, 1e6)
    most = Math.max(most, verified.bytes)
  }
  assert.ok(most <= 100_000 && most > 90_000)
  assert.equal(consumerOf(verified.get('made-up-9999', 0)), 'x')
  assert.equal(verified.get('made-up-1', 0), undefined)
  verified.set('huge', named('x'), 100_000, 1e6)
  assert.equal(verified.get('huge', 0), undefined)
})

test('under other terms, a token is another one', () => {
  assert.notEqual(keyOf('a', 'token'), keyOf('b', 'token'))
  assert.notEqual(keyOf('a', 'token'), keyOf('a', 'token2'))
  assert.ok(!keyOf('a', 'token').includes('token'))
})

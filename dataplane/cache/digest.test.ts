import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { digestAgain, digestOf } from './digest.ts'

test('what is remembered is what would be worked out, however alike the questions are', () => {
  const texts = Array.from({ length: 4 }, (_, i) => `b1:a${'ä'.repeat(i)};`)
  // Most differ in one byte, at places that their beginnings and ends say nothing of.
  const bodies = Array.from({ length: 300 }, (_, i) => Buffer.from(`{"inputs":[${'0'.repeat(i % 40)}${i}],"pad":"${'x'.repeat(i % 7 === 0 ? 5000 : 900)}"}`))
  for (let i = 0; i < 20_000; i++) {
    // Some come far more often than others.
    const [text = '', body = Buffer.alloc(0)] = [texts[randomInt(texts.length)], bodies[i % 3 === 0 ? randomInt(bodies.length) : randomInt(8)]]
    assert.equal(digestAgain(text, body), digestOf(text, body))
  }
})

test('a body whose memory is used again is not taken for the one that was there', () => {
  const lent = Buffer.alloc(64, 'a')
  const digests = new Set<string>()
  for (const byte of 'abcabc') {
    for (let i = 0; i < 20; i++) digests.add(digestAgain('t', lent.fill(byte)))
    assert.equal(digestAgain('t', lent), digestOf('t', lent))
  }
  assert.equal(digests.size, 3)
})

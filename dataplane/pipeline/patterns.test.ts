import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPatterns } from './patterns.ts'

test('ReDoS: (a+)+$ takes time linear in the text', () => {
  const holds = createPatterns().compile('(a+)+$')
  assert.ok(typeof holds === 'function')
  const time = (length: number) => {
    const text = `${'a'.repeat(length)}!`
    const from = process.cpuUsage()
    assert.equal(holds(text), false)
    return process.cpuUsage(from).user / 1000
  }
  time(1000)
  // A backtracking engine would need 2^30 steps, and be at it for the rest of the day.
  assert.ok(time(16_000) < 5000)
})

test('a pattern matches the whole text, and is compiled once', () => {
  const patterns = createPatterns()
  const holds = patterns.compile('a|ab')
  assert.ok(typeof holds === 'function')
  assert.ok(holds('ab') && !holds('abc') && !holds('xa'))
  assert.equal(patterns.compile('a|ab'), holds)
})

test('what must not run is refused with the reason', () => {
  const { compile } = createPatterns()
  assert.match(String(compile('(')), /not RE2 syntax/)
  assert.match(String(compile('(?=a)')), /not RE2 syntax/)
  assert.match(String(compile('a'.repeat(5000))), /more than 4096 characters/)
  assert.match(String(compile('(a{100}){10}')), /more than 500 instructions/)
})

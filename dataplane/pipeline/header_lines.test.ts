import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { HeaderLines } from './header_lines.ts'

test('a line is its own header\'s, whatever was sent before it at its place', () => {
  const lines = new HeaderLines()
  const word = fc.constantFrom('a', 'ab', 'ba', 'bb', 'x'.repeat(300))
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(3), word, word), { minLength: 50, maxLength: 200 }), (sent) => {
    for (const [at, name, value] of sent) assert.equal(lines.line(at, name, value), `${name}: ${value}\r\n`)
  }), { numRuns: 50 })
})

test('what would end its line, or is no name, cannot be sent, however often it comes', () => {
  const lines = new HeaderLines()
  for (let i = 0; i < 100; i++) {
    assert.equal(lines.line(0, 'x', 'fine'), 'x: fine\r\n')
    for (const value of ['fi\rne', 'fi\nne', 'fin\u010A', '\0ine', 'fine\r\nfine: fine']) assert.equal(lines.line(0, 'x', value), undefined)
    for (const name of ['', 'x ', 'x:', 'x\r\ny', 'é']) assert.equal(lines.line(0, name, 'fine'), undefined)
  }
})

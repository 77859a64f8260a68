import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lineReader } from './lines.ts'

test('lines come whole, wherever the packets were cut, also through a character', () => {
  const bytes = Buffer.from('{"a":"é🦀"}\n\n{"b":1}\nrest')
  for (let size = 1; size <= bytes.length; size++) {
    const lines: string[] = []
    const read = lineReader(line => lines.push(line))
    for (let from = 0; from < bytes.length; from += size) assert.ok(read(bytes.subarray(from, from + size)))
    assert.deepEqual(lines, ['{"a":"é🦀"}', '', '{"b":1}'], `packets of ${size}`)
  }
})

test('a line longer than the bound is refused before it has all been held', () => {
  const lines: string[] = []
  const read = lineReader(line => lines.push(line), 10)
  assert.ok(read(Buffer.from('0123456789\n01234')))
  assert.ok(!read(Buffer.from('5678901')))
  assert.deepEqual(lines, ['0123456789'])
  assert.ok(!lineReader(() => {}, 10)(Buffer.from('01234567890\n')))
})

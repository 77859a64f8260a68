import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { eventMax, eventOf, EventReader, type ServerEvent } from './event_reader.ts'

const cutAt = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end))
}
const cuts = fc.array(fc.nat(), { maxLength: 12 })

function read(bytes: Buffer, at: readonly number[] = []): ServerEvent[] {
  const reader = new EventReader()
  const events = cutAt(bytes, at).flatMap((chunk) => reader.push(chunk) ?? assert.fail('too large'))
  return [...events, ...reader.end()]
}

for (const end of ['\n', '\r\n', '\r']) {
  test(`events are the same however their bytes are cut, with lines that end in ${JSON.stringify(end)}`, () => {
    const lines = [
      '\ufeff: a comment', '', 'data: {"a":"Grüße 🦜"}', '', 'event: error', 'data:no space', 'data:  two', 'id: 7', '', '', 'data', '', 'retry: 3', '', 'data: [DONE]', '',
    ]
    const bytes = Buffer.from(lines.join(end) + end)
    fc.assert(fc.property(cuts, (at) => {
      assert.deepEqual(read(bytes, at), [
        { type: '', data: '{"a":"Grüße 🦜"}' }, { type: 'error', data: 'no space\n two' }, { type: '', data: '' }, { type: '', data: '[DONE]' },
      ])
    }))
  })
}

test('an event is there as soon as its blank line is, and not before', () => {
  const reader = new EventReader()
  assert.deepEqual(reader.push(Buffer.from('data: a\n')), [])
  assert.deepEqual(reader.push(Buffer.from('\nda')), [{ type: '', data: 'a' }])
  assert.deepEqual(reader.push(Buffer.from('ta: b\r')), [])
  assert.deepEqual(reader.push(Buffer.from('\n\r')), [{ type: '', data: 'b' }])
  assert.deepEqual(reader.push(Buffer.from('\ndata: c')), [])
  assert.deepEqual(reader.end(), [{ type: '', data: 'c' }])
})

test('what was lent may change after it was read', () => {
  const reader = new EventReader()
  const piece = Buffer.from('data: ab')
  reader.push(piece)
  piece.fill(0)
  assert.deepEqual(reader.push(Buffer.from('c\n\n')), [{ type: '', data: 'abc' }])
})

test('an event without end is not kept without end, in one line or in many', () => {
  const line = new EventReader()
  const lines = new EventReader()
  const piece = Buffer.alloc(65_536, 'x')
  let [one, many]: unknown[] = [[], []]
  for (let sent = 0; sent <= 2 * eventMax; sent += piece.length) {
    one = one && line.push(sent === 0 ? Buffer.from('data:') : piece)
    many = many && lines.push(Buffer.concat([Buffer.from('data:'), piece, Buffer.from('\n')]))
  }
  assert.equal(one, undefined)
  assert.equal(many, undefined)
})

test('what is written as an event is read as it was', () => {
  fc.assert(fc.property(fc.array(fc.jsonValue()), cuts, (values, at) => {
    const texts = values.map((value) => JSON.stringify(value))
    assert.deepEqual(read(Buffer.concat(texts.map(eventOf)), at).map(({ data }) => data), texts)
  }))
})

test('no bytes whatever make it throw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), cuts, (bytes, at) => {
    read(Buffer.from(bytes), at)
  }), { numRuns: 300 })
})

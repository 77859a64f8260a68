import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { framed, onlyMessage } from './grpc_frames.ts'
import { FieldReader, MessageWriter, varintAt } from './protobuf.ts'

function read(bytes: Buffer): (readonly [field: number, wire: number, value: string])[] | undefined {
  const fields = new FieldReader(bytes)
  const found: (readonly [number, number, string])[] = []
  while (fields.next()) found.push([fields.field, fields.wire, fields.wire === 0 ? String(fields.bits) : fields.value.toString('latin1')])
  return fields.broken ? undefined : found
}

test('a message is read as it was written', () => {
  const inside = new MessageWriter().text(1, 'é')
  const message = new MessageWriter().text(1, 'fraud').number(3, 300).number(4, -1n).number(5, true).double(6, 1.5).message(16, inside).bytes(7, Buffer.alloc(200))
  assert.equal(message.length, message.whole().length)
  assert.deepEqual(read(message.whole()), [
    [1, 2, 'fraud'], [3, 0, '300'], [4, 0, '18446744073709551615'], [5, 0, '1'], [6, 1, '\0\0\0\0\0\0\u00f8\u003f'],
    [16, 2, '\u000a\u0002\u00c3\u00a9'], [7, 2, '\0'.repeat(200)],
  ])
})

test('where a field stands is told to the byte, so that it can be cut out', () => {
  const fields = new FieldReader(Buffer.from([8, 1, 18, 2, 97, 98, 24, 5]))
  assert.equal(fields.next() && fields.next(), true)
  assert.deepEqual([fields.start, fields.from, fields.to, fields.text], [2, 4, 6, 'ab'])
})

test('what is no message is not taken for one, however it is broken', () => {
  for (const bytes of [[8], [8, 128], [10, 5, 1], [11], [12], [0, 1], [255, 255, 255, 255, 255, 255], [10, 255, 255, 255, 255, 15], [9, 1], [13, 1]]) {
    assert.equal(read(Buffer.from(bytes)), undefined, String(bytes))
  }
})

test('any bytes are read to an end, and every number comes back', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void read(Buffer.from(bytes))), { numRuns: 500 })
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (value) => {
    assert.deepEqual(read(new MessageWriter().number(9, value).whole()), [[9, 0, String(BigInt.asUintN(64, value))]])
  }), { numRuns: 200 })
  fc.assert(fc.property(fc.maxSafeNat(), (value) => {
    const bytes = new MessageWriter().number(1, value).whole()
    assert.deepEqual(varintAt(bytes, 1), { value, end: bytes.length })
  }), { numRuns: 200 })
})

test('a body is one frame, or it is not read', () => {
  const message = Buffer.from('abc')
  assert.deepEqual(onlyMessage(framed(message, message)), Buffer.from('abcabc'))
  for (const body of [Buffer.alloc(4), Buffer.from([1, 0, 0, 0, 0]), Buffer.from([0, 0, 0, 0, 9, 1]), Buffer.concat([framed(message), framed(message)])]) {
    assert.equal(onlyMessage(body), undefined)
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { decoded, unpacked } from './encodings.ts'

const body = Buffer.from('{"inputs":[]}'.repeat(20_000))

for (const [encoding, pack] of [['gzip', gzipSync], ['x-gzip', gzipSync], ['deflate', deflateSync], ['br', brotliCompressSync], ['zstd', zstdCompressSync]] as const) {
  test(`${encoding}: unpacked, and refused where it is cut off, too large or something else`, async () => {
    const packed = pack(body)
    assert.deepEqual(await unpacked(packed, ` ${encoding.toUpperCase()} `, body.length), body)
    assert.equal(await unpacked(packed, encoding, body.length - 1), 'too_large')
    assert.equal(await unpacked(packed.subarray(0, packed.length - 9), encoding, body.length), 'encoding')
    assert.equal(await unpacked(body, encoding, body.length), 'encoding')
  })
}

test('what is in no coding is given back at once; several codings, and such as nobody knows, are refused', async () => {
  assert.equal(decoded([], body, 1), body)
  assert.equal(decoded(['content-encoding', 'Identity'], body, 1), body)
  assert.equal(await decoded(['content-encoding', 'gzip, gzip'], body, 1e9), 'encoding')
  assert.equal(await decoded(['content-encoding', '__proto__'], body, 1e9), 'encoding')
})

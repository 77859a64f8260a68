import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { cutUp } from '../../../test/dataplane/pieces.ts'
import { framed } from '../grpc_frames.ts'
import { MessageWriter } from '../protobuf.ts'
import { GrpcScan } from './grpc.ts'
import type { Coding } from './inflate.ts'

async function find(body: Buffer, sizes: readonly number[] = [body.length], coding?: Coding) {
  const scan = new GrpcScan({ name: 1, version: 2 }, coding)
  let read = 0
  for (const piece of cutUp(body, sizes)) {
    if (!scan.done) read += piece.length
    await scan.take(piece)
  }
  if (!scan.done) scan.end()
  return { named: scan.named, fault: scan.fault, read }
}

const infer = (name: string, version = '', size = 2000) => {
  const writer = new MessageWriter()
  if (name !== '') writer.text(1, name)
  if (version !== '') writer.text(2, version)
  return writer.text(3, 'id').number(9, 1).double(8, 1).bytes(7, Buffer.alloc(size)).whole()
}

test('name and version are read from the first bytes, in any pieces', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), fc.constantFrom('', '2'), async (sizes, version) => {
    const { named, fault, read } = await find(framed(infer('fraud', version)), sizes)
    assert.deepEqual([named, fault], [{ name: 'fraud', ...(version !== '' && { version }) }, undefined])
    assert.ok(read < 60)
  }), { numRuns: 100 })
  assert.deepEqual((await find(framed(infer('')))).named, undefined)
  assert.deepEqual((await find(framed())).named, undefined)
})

test('compressed messages are looked into, within bounds', async () => {
  const frame = (bytes: Buffer) => { const whole = framed(bytes); whole[0] = 1; return whole }
  for (const [coding, bytes] of [['gzip', gzipSync(infer('fraud', '2'))], ['deflate', deflateSync(infer('fraud', '2'))], ['gzip', gzipSync(infer('fraud', '2', 3_000_000))]] as const) {
    assert.deepEqual((await find(frame(bytes), [7], coding)).named, { name: 'fraud', version: '2' })
  }
  assert.match((await find(frame(gzipSync(infer('fraud'))))).fault ?? '', /not looked into/)
  assert.notEqual((await find(frame(gzipSync(Buffer.alloc(20_000_000))), undefined, 'gzip')).fault, undefined)
  assert.notEqual((await find(frame(Buffer.from('rubbish')), undefined, 'gzip')).fault, undefined)
})

test('another name after the first is a fault, in its message or a later one', async () => {
  const again = new MessageWriter().text(1, 'other').whole()
  assert.match((await find(framed(infer('fraud'), again))).fault ?? '', /twice/)
  assert.match((await find(Buffer.concat([framed(infer('fraud')), framed(infer('other'))]), [5])).fault ?? '', /another model/)
  assert.match((await find(Buffer.concat([framed(infer('fraud', '1')), framed(infer('fraud', '2'))]))).fault ?? '', /another model/)
  assert.equal((await find(Buffer.concat([framed(infer('fraud')), framed(infer('fraud'))]))).fault, undefined)
})

test('any bytes are read to an end, and how they are cut changes nothing', async () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 20 }).map((inside) => framed(Buffer.from(inside))))
  await fc.assert(fc.asyncProperty(bytes, fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), async (given, sizes) => {
    const [whole, cut] = [await find(Buffer.from(given)), await find(Buffer.from(given), sizes)]
    assert.deepEqual(cut.fault === undefined ? cut.named : 'fault', whole.fault === undefined ? whole.named : 'fault')
  }), { numRuns: 500 })
})

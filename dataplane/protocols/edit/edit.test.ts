import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { cutUp } from '../../../test/dataplane/pieces.ts'
import { framed } from '../grpc_frames.ts'
import { FieldReader, MessageWriter } from '../protobuf.ts'
import type { Coding } from '../scan/inflate.ts'
import { GrpcModelEdit } from './grpc_model.ts'
import { Splice } from './splice.ts'
import type { BodyEditor } from './editor.ts'

async function edit(editor: BodyEditor, body: Buffer, sizes: readonly number[] = [body.length]): Promise<Buffer | string> {
  const out: Buffer[] = []
  for (const piece of cutUp(body, sizes)) {
    // What is given out is taken before the next piece comes, as its memory is used again then.
    for (const part of await editor.take(piece)) out.push(Buffer.from(part))
    if (editor.fault !== undefined) return editor.fault
  }
  out.push(...editor.end())
  return editor.fault ?? Buffer.concat(out)
}

const infer = (name: string, version: string, size: number) => {
  const writer = new MessageWriter()
  if (name !== '') writer.text(1, name)
  if (version !== '') writer.text(2, version)
  return writer.text(3, 'id').number(9, 1).double(8, 1).bytes(7, Buffer.alloc(size, 0x5a)).whole()
}
const packed = (bytes: Buffer) => {
  const frame = framed(bytes)
  frame[0] = 1
  return frame
}
const byName = { name: 1, version: 2 }
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 })

test('each message names the other model, in any pieces, and all else of it stays', async () => {
  const messages = fc.array(fc.record({ name: fc.constantFrom('', 'fraud'), version: fc.constantFrom('', '2'), size: fc.integer({ min: 0, max: 300 }), plain: fc.boolean() }), { minLength: 1, maxLength: 4 })
  await fc.assert(fc.asyncProperty(messages, sizes, fc.constantFrom<Coding>('gzip', 'deflate'), async (given, cuts, coding) => {
    // All of one call name the same.
    const [{ name, version } = { name: '', version: '' }] = given
    const pack = coding === 'gzip' ? gzipSync : deflateSync
    const sent = given.map(({ size, plain }) => plain ? framed(infer(name, version, size)) : packed(pack(infer(name, version, size))))
    const edited = await edit(new GrpcModelEdit(byName, { name: 'real-name', version: '7' }, coding), Buffer.concat(sent), cuts)
    assert.deepEqual(edited, Buffer.concat(given.map(({ size }) => framed(infer('real-name', '7', size)))))
    const kept = await edit(new GrpcModelEdit(byName, { name: 'real-name' }, coding), Buffer.concat(sent), cuts)
    assert.deepEqual(kept, Buffer.concat(given.map(({ size }) => framed(infer('real-name', version, size)))), 'the version stays where no other is asked for')
  }), { numRuns: 150 })
})

test('a message that is large when unpacked is worked out elsewhere, and those after it wait', async () => {
  const body = Buffer.concat([packed(gzipSync(infer('a', '', 3_000_000))), framed(infer('a', '', 10))])
  const edited = await edit(new GrpcModelEdit(byName, { name: 'b' }, 'gzip'), body, [1000])
  assert.deepEqual(edited, Buffer.concat([framed(infer('b', '', 3_000_000)), framed(infer('b', '', 10))]))
})

test('what stands before the name stays before it, and an empty message gets a name', async () => {
  const load = new MessageWriter().text(1, 'repository').text(2, 'a').bytes(3, Buffer.from('rest')).whole()
  const edited = await edit(new GrpcModelEdit({ name: 2 }, { name: 'b' }, undefined), framed(load), [1])
  assert.deepEqual(edited, framed(new MessageWriter().text(1, 'repository').text(2, 'b').bytes(3, Buffer.from('rest')).whole()))
  assert.deepEqual(await edit(new GrpcModelEdit(byName, { name: 'b' }, undefined), framed()), framed(new MessageWriter().text(1, 'b').whole()))
})

test('a name that would hold in the place of ours is a fault, wherever it comes', async () => {
  const late = new MessageWriter().text(3, 'id').text(1, 'other').whole()
  const faulty = async (body: Buffer, cuts?: number[]) => typeof await edit(new GrpcModelEdit(byName, { name: 'b' }, 'gzip'), body, cuts) === 'string'
  for (const body of [
    framed(infer('a', '', 10), new MessageWriter().text(1, 'other').whole()), framed(late), packed(gzipSync(late)), framed(new MessageWriter().text(1, 'a').text(1, 'b').whole()),
    framed(infer('a', '', 10)).subarray(0, 20), Buffer.from([2, 0, 0, 0, 0]), packed(Buffer.from('rubbish')),
    framed(new MessageWriter().bytes(1, Buffer.alloc(5000)).whole()),
    Buffer.concat([framed(infer('a', '', 10)), framed(infer('c', '', 10))]),
  ]) for (const cuts of [[1], [7], [body.length]]) assert.ok(await faulty(body, cuts), body.toString('hex'))
  const settings = framed(new MessageWriter().bytes(1, Buffer.alloc(100_000)).text(2, 'a').whole())
  assert.equal(await edit(new GrpcModelEdit({ name: 2 }, { name: 'b' }, undefined), settings, [5000]), 'names its model too late')
})

test('any bytes come to an end, and one model is named in what goes on', async () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 20 }).map((inside) => framed(Buffer.from(inside))))
  await fc.assert(fc.asyncProperty(bytes, sizes, async (given, cuts) => {
    const edited = await edit(new GrpcModelEdit(byName, { name: 'b' }, 'gzip'), Buffer.from(given), cuts)
    if (typeof edited === 'string' || edited.length === 0) return
    const names: string[] = []
    const reader = new FieldReader(edited.subarray(5, 5 + edited.readUInt32BE(1)))
    while (reader.next()) if (reader.field === 1 && reader.wire === 2) names.push(reader.text)
    assert.deepEqual(names, ['b'])
  }), { numRuns: 500 })
})

test('bytes are put in the place of others, wherever the pieces break', async () => {
  await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary-ascii' }), fc.nat(), fc.nat(), fc.string({ unit: 'binary-ascii' }), sizes, async (text, a, b, put, cuts) => {
    const [from, to] = [a % (text.length + 1), b % (text.length + 1)].toSorted((x, y) => x - y) as [number, number]
    const edited = await edit(new Splice([from, to], Buffer.from(put)), Buffer.from(text), cuts)
    assert.equal(edited.toString(), text.slice(0, from) + put + text.slice(to))
  }), { numRuns: 300 })
})

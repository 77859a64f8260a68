import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { cutUp } from '../../../test/dataplane/pieces.ts'
import { runs } from '../../../test/runs.ts'
import { lookFor } from '../../pipeline/looks.ts'
import { GrpcModelEdit } from '../edit/grpc_model.ts'
import { framed } from '../grpc_frames.ts'
import { FieldReader, MessageWriter } from '../protobuf.ts'

/**
 * Bodies that are broken in every way: none ends the process, changes what objects inherit, or is read in another way than a
 * reader of its form reads it, however it comes in pieces. 100,000 of them at length.
 */

const names = ['model', 'Model', 'm\\u006fdel', '__proto__', 'constructor', 'prototype', 'toString', 'parameters', 'region', 'x', '']
const text = fc.oneof(fc.constantFrom(...names), fc.string({ unit: 'grapheme', maxLength: 8 }))

const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, text, fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(text, tie('value')), { maxLength: 4 }).map((members) => new Map(members))),
})).value

/** As no writer would do it: names as often as they come. */
function written(value: unknown): string {
  if (value instanceof Map) return `{${[...value as Map<string, unknown>].map(([name, member]) => `"${name.replaceAll('"', '')}" :${written(member)}`).join(',')}}`
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`
  return JSON.stringify(typeof value === 'number' && !Number.isFinite(value) ? 0 : value)
}

const asked = fc.tuple(fc.array(fc.tuple(text, json), { maxLength: 4 }), text).map(([members, model]) => {
  const own = `"model":${JSON.stringify(model)}`
  return `{${[...members.map(([name, value]) => `"${name.replaceAll('"', '')}":${written(value)}`), own].join(',')}}`
})

const message = fc.array(fc.oneof(
  fc.tuple(fc.constantFrom(1, 2, 3, 4), text).map(([field, value]) => new MessageWriter().text(field, value)),
  fc.tuple(fc.constantFrom(1, 2, 9), fc.nat()).map(([field, value]) => new MessageWriter().number(field, value)),
  fc.uint8Array({ maxLength: 9 }).map((bytes) => new MessageWriter().bytes(7, Buffer.from(bytes))),
), { maxLength: 4 }).map((fields) => fields.toSorted((a, b) => (a.parts[0]?.[0] ?? 0) - (b.parts[0]?.[0] ?? 0)).flatMap(({ parts }) => parts))
const frames = fc.array(fc.tuple(message, fc.boolean()), { minLength: 1, maxLength: 3 })
  .map((list) => Buffer.concat(list.map(([parts, packed]) => packed ? flagged(gzipSync(Buffer.concat(parts))) : framed(...parts))))

const flagged = (bytes: Buffer) => {
  const frame = framed(bytes)
  frame[0] = 1
  return frame
}

const form = fc.array(fc.tuple(fc.constantFrom(...names, 'file"; filename="a'), text), { maxLength: 4 })
  .map((parts) => `${parts.map(([name, value]) => `--xx\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`).join('')}--xx--\r\n`)

/** What becomes of a body on its way to us. */
type Damage = { at: number; cut: number; put: Buffer }
const damage = fc.array(fc.record({
  at: fc.nat(), cut: fc.constantFrom(0, 0, 1, 2, 7, 1_000_000),
  put: fc.oneof(fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes)), fc.constantFrom(...['"', '\\', '{', '}', '[', ',"model":"other"', '\r\n--xx', '\n', '\0', '"__proto__":{"polluted":1},'].map((one) => Buffer.from(one)))),
}), { maxLength: 3 })

function damaged(body: Buffer, wounds: readonly Damage[]): Buffer {
  let whole = body
  for (const { at, cut, put } of wounds) {
    const from = at % (whole.length + 1)
    whole = Buffer.concat([whole.subarray(0, from), put, whole.subarray(from + cut)])
  }
  return whole
}

const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 })
const wants = { model: true, pointers: ['/parameters/region', '/x/0', '/__proto__/polluted'] }

/** What is made of a body in these pieces: a fault, or the model that it names. */
async function look(path: string, headers: readonly string[], body: Buffer, cuts: readonly number[]): Promise<string | undefined> {
  const found = lookFor({ path, headers: [...headers] }, wants)
  if (found === undefined || 'code' in found) return 'fault'
  const { scan } = found
  for (const piece of cutUp(body, cuts)) {
    await scan.take(piece)
    if (scan.fault !== undefined) break
  }
  if (scan.fault === undefined) await scan.end()
  return found.fault() !== undefined ? 'fault' : found.model()?.name ?? ''
}

async function agree(path: string, headers: readonly string[], body: Buffer, cuts: readonly number[]): Promise<string | undefined> {
  const whole = await look(path, headers, body, [body.length])
  assert.equal(await look(path, headers, body, cuts), whole)
  return whole
}

const untouched = () => {
  assert.deepEqual(Object.keys(Object.prototype), [])
  assert.equal(Reflect.get({}, 'polluted'), undefined)
}

/** How many a property is tried with. */
const share = (long: number) => ({ numRuns: runs(Math.ceil(long / 100), long) })

test('JSON: what is found is what JSON.parse finds, or a fault', async () => {
  await fc.assert(fc.asyncProperty(asked, damage, sizes, async (sent, wounds, cuts) => {
    const body = damaged(Buffer.from(sent), wounds)
    const found = await agree('/v1/chat/completions', [], body, cuts)
    if (found === 'fault') return
    let parsed: unknown
    try {
      parsed = JSON.parse(body.toString())
    } catch {
      return
    }
    const model: unknown = typeof parsed === 'object' && parsed !== null && Object.hasOwn(parsed, 'model') ? Reflect.get(parsed, 'model') : undefined
    assert.equal(found, typeof model === 'string' ? model : '')
  }), share(50_000))
  untouched()
})

test('packed JSON: the same', async () => {
  await fc.assert(fc.asyncProperty(asked, damage, damage, sizes, fc.boolean(), async (sent, inside, outside, cuts, gzip) => {
    const plain = damaged(Buffer.from(sent), inside)
    const body = damaged((gzip ? gzipSync : deflateSync)(plain), outside.slice(0, 1))
    const found = await agree('/v1/embeddings', ['content-encoding', gzip ? 'gzip' : 'deflate'], body, cuts)
    if (outside.length === 0) assert.equal(found, await look('/v1/embeddings', [], plain, [plain.length]))
  }), share(10_000))
  untouched()
})

test('gRPC: the model is the one that a reader of protocol buffers has, or a fault; one that is put in its place is all that is left', async () => {
  await fc.assert(fc.asyncProperty(frames, damage, sizes, async (sent, wounds, cuts) => {
    const body = damaged(sent, wounds)
    const headers = ['content-type', 'application/grpc', 'grpc-encoding', 'gzip']
    const found = await agree('/inference.GRPCInferenceService/ModelInfer', headers, body, cuts)
    if (found !== 'fault' && body[0] === 0 && body.length >= 5) assert.equal(found, lastName(body))
    const editor = new GrpcModelEdit({ name: 1, version: 2 }, { name: 'ours' }, 'gzip')
    const out: Buffer[] = []
    for (const piece of cutUp(body, cuts)) for (const part of await editor.take(piece)) out.push(Buffer.from(part))
    out.push(...editor.end())
    if (editor.fault !== undefined) return
    for (let rest = Buffer.concat(out); rest.length > 0; rest = rest.subarray(5 + rest.readUInt32BE(1))) assert.equal(lastName(rest), 'ours')
  }), share(30_000))
  untouched()
})

/** Of the first message: of a field that is there twice, the last counts. */
function lastName(body: Buffer): string {
  let name = ''
  const reader = new FieldReader(body.subarray(5, 5 + body.readUInt32BE(1)))
  while (reader.next()) if (reader.field === 1 && reader.wire === 2) name = reader.text
  return name
}

test('forms: the field is the one that a reader of forms has, or a fault', async () => {
  const headers = ['content-type', 'multipart/form-data; boundary=xx']
  await fc.assert(fc.asyncProperty(form, damage, sizes, async (sent, wounds, cuts) => {
    const body = damaged(Buffer.from(sent), wounds)
    const found = await agree('/v1/audio/transcriptions', headers, body, cuts)
    if (found === 'fault') return
    const fields = await new Response(body, { headers: { 'content-type': headers[1] ?? '' } }).formData().catch(() => undefined)
    const models = fields?.getAll('model') ?? []
    if (models.length > 0) assert.deepEqual(models, [found])
  }), share(10_000))
  untouched()
})

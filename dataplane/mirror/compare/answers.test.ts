import assert from 'node:assert/strict'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { test } from 'node:test'
import { compareAnswers, termsOf, type Answered, type Comparison } from './answers.ts'

const json = 'application/json'

function answered(body: unknown, more: Partial<Answered> & { type?: string } = {}): Answered {
  const { type = json, ...rest } = more
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  return { status: 200, headers: ['content-type', type], body: bytes, ...rest }
}

type Bounds = Readonly<{ absolute?: number; relative?: number; ignore?: readonly string[] }>

function compare(path: string, a: Answered, b: Answered, { absolute = 0, relative = 0, ignore = [] }: Bounds = {}): Promise<Comparison> {
  return compareAnswers(path, a, b, termsOf({ absolute, relative, ignore }, path), () => {})
}

/** `match`, why it was skipped, or the kinds and places that differ. */
async function verdict(...question: Parameters<typeof compare>): Promise<string> {
  const comparison = await compare(...question)
  if (comparison.result === 'skipped') return comparison.why
  const { result, differences } = comparison
  return result === 'match' ? 'match' : differences.map(({ place, kind, count }) => `${kind} ${place}${count === 1 ? '' : ` ${count}`}`).join(', ')
}

const [v1, v2, chat] = ['/v1/models/m:predict', '/v2/models/m/infer', '/v1/chat/completions']

test('numbers are equal within the absolute or the relative tolerance, at their bounds too', async () => {
  const pair = (a: unknown, b: unknown, bounds?: Bounds) => verdict(v1, answered({ predictions: [a] }), answered({ predictions: [b] }), bounds)
  assert.equal(await pair(1, 1.5), 'value /predictions/*')
  assert.equal(await pair(1, 1.5, { absolute: 0.5 }), 'match')
  assert.equal(await pair(1, 1.51, { absolute: 0.5 }), 'value /predictions/*')
  assert.equal(await pair(90, 100, { relative: 0.1 }), 'match')
  assert.equal(await pair(89, 100, { relative: 0.1 }), 'value /predictions/*')
  assert.equal(await pair(100, 89, { relative: 0.1 }), 'value /predictions/*')
  assert.equal(await pair(0, 1e-9, { relative: 0.1 }), 'value /predictions/*')
  assert.equal(await pair(-1, 1, { relative: 1 }), 'value /predictions/*')
})

test('JSON is compared by its paths: members in any order, lists in theirs, other types never the same', async () => {
  const of = (a: unknown, b: unknown, bounds?: Bounds) => verdict(v1, answered(a), answered(b), bounds)
  assert.equal(await of({ a: 1, b: { c: [1, 'x', null, true] } }, { b: { c: [1, 'x', null, true] }, a: 1 }), 'match')
  assert.equal(await of({ p: [1, 2] }, { p: [2, 1] }), 'value /p/* 2')
  assert.equal(await of({ p: [1, 2] }, { p: [1, 2, 3] }), 'length /p/*')
  assert.equal(await of({ p: 1, q: 2 }, { p: 1, r: 2 }), 'missing /q, extra /r')
  assert.equal(await of({ a: null, b: [], c: {}, d: '1', e: false }, { a: 0, b: {}, c: [], d: 1, e: 0 }), 'type /a, type /b, type /c, type /d, type /e')
  assert.equal(await of([1], [1]), 'match')
  assert.equal(await of('"x"', '"y"'), 'value ')
  const ignore = ['/id', '/rows/*/at', '/a~1b/c~0d', '/list/0']
  assert.equal(await of(
    { id: 1, rows: [{ at: 1, x: 1 }, { at: 2, x: 2 }], 'a/b': { 'c~d': 1 }, list: [1, 2] },
    { id: 2, rows: [{ at: 3, x: 1 }, { x: 2 }], 'a/b': { 'c~d': 2 }, list: [5, 2] }, { ignore },
  ), 'match')
  assert.equal(await of({ list: [1, 2] }, { list: [1, 3] }, { ignore }), 'value /list/*')
})

test('names out of answers that look like data are not told, nor are values', async () => {
  const comparison = await compare(v1, answered({ 'ann@example.com': 'secret', score: 'a' }), answered({ 'ann@example.com': 'other', score: 'b' }))
  assert.deepEqual(comparison, {
    result: 'mismatch', count: 2, differences: [{ place: '/*', kind: 'value', count: 1 }, { place: '/score', kind: 'value', count: 1 }],
  })
})

test('what is found is bounded, and counted on', async () => {
  const many = (value: number) => Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`field${n}`, value]))
  const comparison = await compare(v1, answered(many(1)), answered(many(2)))
  assert.ok(comparison.result === 'mismatch')
  assert.deepEqual([comparison.differences.length, comparison.count], [16, 1000])
})

const output = (name: string, datatype: string, shape: readonly number[], data: readonly unknown[]) => ({ name, datatype, shape, data })
const infer = (version: string, ...outputs: readonly unknown[]) => answered({ model_name: 'm', model_version: version, id: version, outputs })

test('outputs of V2 are compared by name; the version that answers and the id of the answer are no difference', async () => {
  const [a, b] = [output('a', 'FP32', [2], [1, 2]), output('b', 'INT64', [1], [7])]
  assert.equal(await verdict(v2, infer('1', a, b), infer('2', b, a)), 'match')
  assert.equal(await verdict(v2, infer('1', a), infer('2', output('a', 'FP32', [1, 2], [[1, 2]]))), 'shape /outputs/a')
  assert.equal(await verdict(v2, infer('1', a), infer('2', output('a', 'FP64', [2], [1, 2]))), 'datatype /outputs/a')
  assert.equal(await verdict(v2, infer('1', a, b), infer('2', a)), 'missing /outputs/b')
  assert.equal(await verdict(v2, infer('1', a), infer('2', a, b)), 'extra /outputs/b')
  assert.equal(await verdict(v2, infer('1', output('a', 'FP32', [2, 1], [[1], [2]])), infer('2', output('a', 'FP32', [2, 1], [1, 2]))), 'match')
  assert.equal(await verdict(v2, infer('1', a, b), infer('2', output('a', 'FP32', [2], [5, 5]), b), { ignore: ['/outputs/0'] }), 'match')
  assert.equal(await verdict(v2, infer('1', a, b), infer('2', output('a', 'FP32', [2], [5, 5]), b), { ignore: ['/outputs/a/data'] }), 'match')
  assert.equal(await verdict(v2, infer('1', a), infer('2', output('a', 'FP32', [2], [1.001, 2.001])), { absolute: 0.01 }), 'match')
  const comparison = await compare(v2, infer('1', a), infer('2', output('a', 'FP32', [2], [1.5, 4])))
  assert.deepEqual(comparison.result === 'mismatch' && comparison.differences, [{ place: '/outputs/a', kind: 'value', count: 2, largest: 2 }])
})

/** Tensors after the JSON, by the binary data extension. */
function binary(...tensors: readonly (readonly [name: string, datatype: string, shape: readonly number[], bytes: Buffer])[]): Answered {
  const head = Buffer.from(JSON.stringify({
    model_name: 'm', outputs: tensors.map(([name, datatype, shape, bytes]) => ({ name, datatype, shape, parameters: { binary_data_size: bytes.length } })),
  }))
  return {
    status: 200, body: Buffer.concat([head, ...tensors.map(([, , , bytes]) => bytes)]),
    headers: ['content-type', 'application/octet-stream', 'inference-header-content-length', String(head.length)],
  }
}

const bytesOf = (array: ArrayBufferView) => Buffer.from(array.buffer, array.byteOffset, array.byteLength)
const texts = (...all: readonly string[]) => Buffer.concat(all.map((text) => {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([length, bytes])
}))

test('binary tensors are read by their datatype, and compared with those in JSON', async () => {
  const words = (...bits: readonly number[]) => bytesOf(new Uint16Array(bits))
  const cases: readonly (readonly [datatype: string, bytes: Buffer, same: readonly unknown[]])[] = [
    ['BOOL', Buffer.from([1, 0]), [true, false]],
    ['UINT8', Buffer.from([1, 255]), [1, 255]],
    ['INT8', Buffer.from([1, 255]), [1, -1]],
    ['UINT16', words(1, 65_535), [1, 65_535]],
    ['INT16', words(1, 65_535), [1, -1]],
    ['UINT32', bytesOf(new Uint32Array([1, 4_294_967_295])), [1, 4_294_967_295]],
    ['INT32', bytesOf(new Int32Array([1, -1])), [1, -1]],
    ['UINT64', bytesOf(new BigUint64Array([1n, 7n])), [1, 7]],
    ['INT64', bytesOf(new BigInt64Array([1n, -7n])), [1, -7]],
    ['FP16', words(0x3c00, 0xc000), [1, -2]],
    ['FP16', words(0x3555, 0x0001), [0.333251953125, 2 ** -24]],
    ['BF16', words(0x3f80, 0xc040), [1, -3]],
    ['FP32', bytesOf(new Float32Array([1.5, -2.25])), [1.5, -2.25]],
    ['FP64', bytesOf(new Float64Array([1.1, 1e300])), [1.1, 1e300]],
    ['BYTES', texts('ü', ''), ['ü', '']],
  ]
  for (const [datatype, bytes, same] of cases) {
    const shape = [same.length]
    // Of another length before it, so that nothing is aligned by chance.
    const odd = ['x', 'UINT8', [1], Buffer.from([9])] as const
    const [one, other] = [binary(odd, ['t', datatype, shape, bytes]), binary(['t', datatype, shape, bytes], odd)]
    assert.equal(await verdict(v2, one, other), 'match', datatype)
    assert.equal(await verdict(v2, binary(['t', datatype, shape, bytes]), infer('2', output('t', datatype, shape, same))), 'match', `${datatype} and JSON`)
    const off = binary(odd, ['t', datatype, shape, Buffer.concat([bytes.subarray(bytes.length / 2), bytes.subarray(0, bytes.length / 2)])])
    if (datatype !== 'BYTES') assert.equal(await verdict(v2, one, off), 'value /outputs/t 2', datatype)
  }
  assert.equal(await verdict(v2, binary(['t', 'INT64', [1], bytesOf(new BigInt64Array([2n ** 60n]))]), binary(['t', 'INT64', [1], bytesOf(new BigInt64Array([2n ** 60n + 1n]))])), 'value /outputs/t')
})

test('not a number is equal to itself, and infinities by their sign', async () => {
  const of = (...values: readonly number[]) => binary(['t', 'FP32', [values.length], bytesOf(new Float32Array(values))])
  assert.equal(await verdict(v2, of(Number.NaN, Infinity), of(Number.NaN, Infinity)), 'match')
  assert.equal(await verdict(v2, of(1, Infinity), of(Number.NaN, -Infinity), { absolute: 10, relative: 0.5 }), 'value /outputs/t 2')
})

test('what is no answer of the protocol is compared byte by byte, and never trusted', async () => {
  const broken = { ...binary(['t', 'FP32', [1], Buffer.alloc(4)]), body: Buffer.from('{"outputs":[{"name":"t","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4000000}}]}xxxx') }
  const headers = ['content-type', 'application/octet-stream', 'inference-header-content-length', '97']
  assert.equal(await verdict(v2, { ...broken, headers }, { ...broken, headers }), 'match')
  for (const length of ['-1', '1e3', '99999999', 'x', '0']) {
    assert.equal(await verdict(v2, { ...broken, headers: ['inference-header-content-length', length] }, { ...broken, body: Buffer.from('other') }), 'bytes body', length)
  }
  assert.equal(await verdict('/anything', answered('a', { type: 'text/plain' }), answered('a', { type: 'text/plain' })), 'match')
  assert.equal(await verdict('/anything', answered('a', { type: 'text/plain' }), answered('b', { type: 'text/plain' })), 'bytes body')
  assert.equal(await verdict(v1, answered('{"a":'), answered('{"b":')), 'bytes body')
  assert.equal(await verdict(v1, answered('{}'), answered('{}', { type: 'text/html' })), 'type content-type')
  const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`
  assert.equal(await verdict(v1, answered(deep), answered(deep)), 'unreadable')
  assert.equal(await verdict(v1, answered('{"__proto__":{"a":1}}'), answered('{"__proto__":{"a":2}}')), 'value /__proto__/a')
})

test('labels: where the largest score is, and the order of the five largest, are told beside the tolerance', async () => {
  const scores = (rows: readonly (readonly number[])[]) => infer('1', output('p', 'FP32', [rows.length, 3], rows.flat()))
  const comparison = await compare(v2, scores([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]]), scores([[0.7, 0.1, 0.2], [0.4, 0.5, 0.1]]), { absolute: 0.2 })
  assert.deepEqual(comparison, { result: 'match', count: 0, differences: [], labels: { vectors: 2, labelDiffers: 1, topDiffers: 2 } })
  const v1Labels = await compare(v1, answered({ predictions: [[1, 9], [2, 1]] }), answered({ predictions: [[1, 9], [1, 2]] }))
  assert.ok(v1Labels.result === 'mismatch')
  assert.deepEqual(v1Labels.labels, { vectors: 2, labelDiffers: 1, topDiffers: 1 })
})

test('classes are compared in their order: the label exactly, the score within the tolerance', async () => {
  const classes = (...all: readonly string[]) => infer('1', output('c', 'BYTES', [all.length], all))
  assert.equal(await verdict(v2, classes('0.91:3:cat', '0.05:7:dog'), classes('0.90:3:cat', '0.06:7:dog'), { absolute: 0.02 }), 'match')
  assert.equal(await verdict(v2, classes('0.91:3:cat', '0.05:7:dog'), classes('0.90:3:cat', '0.06:7:dog')), 'value /outputs/c 2')
  assert.equal(await verdict(v2, classes('0.91:3:cat', '0.05:7:dog'), classes('0.91:7:dog', '0.05:3:cat'), { absolute: 1 }), 'order /outputs/c 2')
  assert.equal(await verdict(v2, classes('cat'), classes('dog'), { absolute: 1, relative: 1 }), 'value /outputs/c')
})

const said = (content: string, id = 'a') => answered({ id, created: id.length, model: id, usage: { total_tokens: id.length }, choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }] })

test('what a model wrote is compared by how alike it is; what a server says anew each time is no difference', async () => {
  assert.equal(await verdict(chat, said('The sky is blue.', 'a'), said('The sky is blue.', 'bb')), 'match')
  assert.equal(await verdict(chat, said('The sky is blue.'), said('The  sky\nis blue.')), 'match')
  const near = await compare(chat, said('the quick brown fox jumps over the lazy dog'), said('the quick brown fox jumps over the lazy cat'), { relative: 0.2 })
  assert.deepEqual(near, { result: 'match', count: 0, differences: [], similarity: 0.875 })
  assert.equal(await verdict(chat, said('the quick brown fox jumps over the lazy dog'), said('the quick brown fox jumps over the lazy cat'), { relative: 0.1 }), 'text /choices/*')
  assert.equal(await verdict(chat, said('yes'), said('no'), { relative: 0.9 }), 'text /choices/*')
  const call = (name: string) => answered({ choices: [{ message: { content: null, tool_calls: [{ function: { name, arguments: '{"city":"Paris"}' } }] } }] })
  assert.equal(await verdict(chat, call('weather'), call('weather')), 'match')
  assert.equal(await verdict(chat, call('weather'), call('stocks')), 'text /choices/*')
  assert.equal(await verdict('/v2/models/m/generate', answered({ model_version: '1', text_output: 'a b' }), answered({ model_version: '2', text_output: 'a b' })), 'match')
  assert.equal(await verdict('/v1/embeddings', answered({ model: 'a', usage: 1, data: [{ embedding: [1, 2] }] }), answered({ model: 'b', usage: 2, data: [{ embedding: [1, 2.001] }] }), { absolute: 0.01 }), 'match')
})

test('a stream is compared by its whole text, however it was cut into events', async () => {
  const stream = (...parts: readonly string[]) => answered([
    ...parts.map((content) => `data: ${JSON.stringify({ id: parts.length, choices: [{ index: 0, delta: { content } }] })}`), 'data: [DONE]', '',
  ].join('\n\n'), { type: 'text/event-stream; charset=utf-8' })
  assert.equal(await verdict(chat, stream('The sky', ' is blue.'), stream('The', ' sky is', ' blue.')), 'match')
  assert.equal(await verdict(chat, stream('The sky'), stream('The sea')), 'text /choices/*')
  assert.equal(await verdict(chat, answered('data: nothing\n\n', { type: 'text/event-stream' }), stream('x')), 'unreadable')
  const generated = (text: string) => answered(`data: {"text_output":"${text}"}\r\n\r\n`, { type: 'text/event-stream' })
  assert.equal(await verdict('/v2/models/m/generate_stream', generated('a'), generated('a')), 'match')
})

/** A field of a message of protocol buffers: bytes with their length. */
const field = (number: number, bytes: Buffer | string) => Buffer.concat([Buffer.from([(number << 3) | 2, Buffer.byteLength(bytes)]), Buffer.from(bytes)])
const framed = (...parts: readonly Buffer[]) => {
  const message = Buffer.concat(parts)
  const frame = Buffer.alloc(5)
  frame.writeUInt32BE(message.length, 1)
  return Buffer.concat([frame, message])
}
const grpc = (body: Buffer, grpcStatus = '0') => answered(body, { type: 'application/grpc', grpcStatus })
const tensor = (name: string, datatype: string, ...contents: readonly Buffer[]) =>
  field(5, Buffer.concat([field(1, name), field(2, datatype), field(3, Buffer.from([2])), ...contents]))

test('gRPC: a ModelInferResponse is compared by its outputs, other messages byte by byte, statuses by what they mean', async () => {
  const path = '/inference.GRPCInferenceService/ModelInfer'
  const raw = (version: string, ...values: readonly number[]) => grpc(framed(field(2, version), tensor('t', 'FP32'), field(6, bytesOf(new Float32Array(values)))))
  assert.equal(await verdict(path, raw('1', 1, 2), raw('2', 1, 2)), 'match')
  assert.equal(await verdict(path, raw('1', 1, 2), raw('2', 1, 2.5)), 'value /outputs/t')
  assert.equal(await verdict(path, raw('1', 1, 2), raw('2', 1, 2.5), { absolute: 0.5 }), 'match')
  const listed = (version: string, ...values: readonly number[]) => grpc(framed(field(2, version), tensor('t', 'FP32', field(5, field(6, bytesOf(new Float32Array(values)))))))
  assert.equal(await verdict(path, listed('1', 1, 2), listed('2', 1, 2)), 'match')
  assert.equal(await verdict(path, listed('1', 1, 2), listed('2', 3, 2)), 'value /outputs/t')
  const ints = (version: string, ...bytes: readonly number[]) => grpc(framed(field(2, version), tensor('t', 'INT64', field(5, field(3, Buffer.from(bytes))))))
  assert.equal(await verdict(path, ints('1', 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), ints('2', 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)), 'match')
  assert.equal(await verdict('/other.Service/Call', grpc(framed(field(1, 'a'))), grpc(framed(field(1, 'b')))), 'bytes body')
  const two = Buffer.concat([framed(field(1, 'a')), framed(field(1, 'b'))])
  assert.equal(await verdict('/other.Service/Call', grpc(two), grpc(Buffer.concat([two, two]))), 'unreadable')
  assert.equal(await verdict(path, raw('1', 1, 2), grpc(Buffer.alloc(0), '3')), 'status status')
  assert.equal(await verdict(path, grpc(Buffer.alloc(0), '14'), raw('1', 1, 2)), 'caller_failed')
})

test('compressed answers are compared as what they say; what cannot be unpacked, or becomes too large, is not compared', async () => {
  const plain = '{"predictions":[1]}'
  const packed = (encoding: string, body: Buffer): Answered => ({ status: 200, headers: ['content-type', json, 'content-encoding', encoding], body })
  assert.equal(await verdict(v1, packed('gzip', gzipSync(plain)), packed('br', brotliCompressSync(plain))), 'match')
  assert.equal(await verdict(v1, packed('gzip', Buffer.from(plain)), answered(plain)), 'encoding')
  assert.equal(await verdict(v1, packed('own', Buffer.from(plain)), answered(plain)), 'encoding')
  assert.equal(await verdict(v1, packed('gzip', gzipSync(Buffer.alloc(50_000_000))), answered(plain)), 'too_large')
  assert.equal(await verdict(v1, answered(`[${'1,'.repeat(300_000)}1]`), answered('[1]')), 'too_large')
})

test('a large comparison lets everything else go on', { timeout: 120_000 }, async () => {
  const values = new Float32Array(1_000_000).map((_, i) => i % 97)
  const one = binary(['t', 'FP32', [1000, 1000], bytesOf(values)])
  const rows = JSON.stringify({ predictions: Array.from({ length: 500 }, (_, i) => Array.from({ length: 100 }, (_, j) => (i * j) / 7)) }).slice(0, 260_000)
  const whole = rows.slice(0, rows.lastIndexOf('],[')) + ']]}'
  // Of the processor's time: others may be on the machine.
  const spent = () => { const { user, system } = process.threadCpuUsage(); return (user + system) / 1000 }
  let longest = 0
  let last = spent()
  let running = true
  const look = (): void => {
    const now = spent()
    longest = Math.max(longest, now - last)
    last = now
    if (running) setImmediate(look)
  }
  look()
  // Of three: what only the machine does, or a collection of garbage, is not in each of them.
  const stretches: number[] = []
  for (let i = 0; i < 3; i++) {
    longest = 0
    assert.equal(await verdict(v2, one, one), 'match')
    assert.equal(await verdict(v1, answered(whole), answered(whole)), 'match')
    stretches.push(longest)
  }
  running = false
  assert.ok(Math.min(...stretches) < 25, `${stretches.join(', ')} ms at a stretch`)
})

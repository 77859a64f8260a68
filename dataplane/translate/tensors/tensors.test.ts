import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ask, hear } from '../../../test/dataplane/translation.ts'
import { framed } from '../../protocols/grpc_frames.ts'
import { MessageWriter } from '../../protocols/protobuf.ts'
import { readMessage, writeMessage } from '../../tensors/grpc_message.ts'
import { readJson } from '../../tensors/read_json.ts'
import { readMessage as readLarge } from '../../tensors/work.ts'
import { noParameters, widths, type Infer } from '../../tensors/tensor.ts'
import { writeJson } from '../../tensors/write_json.ts'
import { grpcToV1 } from '../grpc_v1.ts'
import { grpcToV2 } from '../grpc_v2.ts'
import { v1ToGrpc } from '../v1_grpc.ts'
import { v1ToV2 } from '../v1_v2.ts'
import { v2ToGrpc } from '../v2_grpc.ts'
import { v2ToV1 } from '../v2_v1.ts'
import type { Translation } from '../translation.ts'

const empty = Buffer.alloc(0)

const bytesOf = (...texts: (string | Buffer)[]) => Buffer.concat(texts.flatMap((text) => {
  const bytes = Buffer.from(text)
  const head = Buffer.alloc(4)
  head.writeUInt32LE(bytes.length)
  return [head, bytes]
}))

const infer = (tensor: Partial<Infer['tensors'][number]>, more: Partial<Infer> = {}): Infer => ({
  model: 'm', version: '', id: '', parameters: noParameters, outputs: [],
  tensors: [{ name: 'x', datatype: 'FP32', shape: [2], parameters: noParameters, data: Buffer.alloc(8), ...tensor }], ...more,
})

const jsonOf = (message: Infer, side: 'inputs' | 'outputs' = 'outputs') => {
  const written = writeJson(side, message, () => false)
  assert.ok('pieces' in written, JSON.stringify(written))
  return Buffer.concat(written.pieces)
}

function inferOf(message: Infer | { code: string }): Infer {
  assert.ok(!('code' in message), JSON.stringify(message))
  return message
}

const dataOf = (datatype: string, list: string, shape: readonly number[]) => {
  const read = readJson('inputs', Buffer.from(`{"inputs":[{"name":"x","datatype":"${datatype}","shape":[${shape.join()}],"data":${list}}]}`, 'latin1'), empty)
  return 'code' in read ? undefined : read.tensors[0]?.data
}

test('every datatype is written as Triton writes it', () => {
  const of = (datatype: string, data: Buffer) => /"data":(\[.*\])\}\]/.exec(jsonOf(infer({ datatype, data })).toString())?.[1]
  const floats = Buffer.from(Float32Array.of(1, -0, 0.1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e30).buffer)
  assert.equal(of('FP32', floats), '[1.0,-0.0,0.10000000149011612,NaN,Infinity,-Infinity,1.0000000150474662e+30]')
  assert.equal(of('FP64', Buffer.from(Float64Array.of(0.1, 1e300, 5e-324, 1e15).buffer)), '[0.1,1e+300,5e-324,1000000000000000.0]')
  assert.equal(of('INT64', Buffer.from(BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n), -1n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, 0n).buffer)),
    '[9223372036854775807,-9223372036854775808,-1,9007199254740993,-9007199254740993,0]')
  assert.equal(of('UINT64', Buffer.from(BigUint64Array.of(2n ** 64n - 1n, 2n ** 53n + 1n).buffer)), '[18446744073709551615,9007199254740993]')
  assert.equal(of('INT8', Buffer.from([0x80, 0xff, 127])), '[-128,-1,127]')
  assert.equal(of('BOOL', Buffer.from([0, 1, 1])), '[false,true,true]')
  assert.equal(of('UINT32', Buffer.from(Uint32Array.of(2 ** 32 - 1, 0).buffer)), '[4294967295,0]')
  assert.equal(of('FP16', Buffer.from([0, 0x3c, 0, 0x80, 0, 0x7c])), '[1.0,-0.0,Infinity]')
  assert.equal(of('BF16', Buffer.from([0x80, 0x3f, 0x80, 0xff])), '[1.0,-Infinity]')
  assert.equal(of('BYTES', bytesOf('a"\\\n\u0001é', '')), '["a\\"\\\\\\n\\u0001é",""]')
})

test('bytes that are not UTF-8 come through JSON as they are', () => {
  const data = bytesOf(Buffer.from([0xff, 0xfe, 0x22, 0x80]), Buffer.from([0]))
  const text = jsonOf(infer({ datatype: 'BYTES', shape: [2], data }))
  assert.deepEqual(inferOf(readJson('outputs', text, empty)).tensors[0]?.data, data)
})

test('a number that does not fit its datatype is refused, and not cut to size', () => {
  for (const [datatype, list] of [
    ['INT8', '[300]'], ['UINT8', '[-1]'], ['INT32', '[1.5]'], ['INT64', '[9223372036854775808]'], ['UINT64', '[-1]'], ['UINT64', '[18446744073709551616]'],
    ['INT64', '[1.5]'], ['BOOL', '[2]'], ['FP32', '["1"]'], ['FP32', '[1,]'], ['FP32', '[,1]'], ['FP32', '[01]'], ['FP32', '[1e]'], ['FP32', '[.5]'], ['FP32', '[5.]'],
    ['INT64', '[01]'], ['INT64', '[1 2]'], ['INT64', '[1,]'], ['INT64', '[-]'], ['BYTES', '[1]'], ['BYTES', '["\\ud800"]'], ['BYTES', '["\\x"]'], ['FP32', '[{}]'], ['NONE', '[1]'],
  ] as const) assert.equal(dataOf(datatype, list, [1]), undefined, `${datatype} ${list}`)
  assert.equal(dataOf('FP32', '[1,2]', [3]), undefined)
  assert.equal(dataOf('FP32', '[1,2,3]', [2]), undefined)
  assert.equal(dataOf('FP32', '[]', [2 ** 40]), undefined)
})

test('lists within lists are read in row-major order; numbers of 64 bits lose none', () => {
  assert.deepEqual(dataOf('INT32', '[[1,2],[3,4]]', [2, 2]), Buffer.from(Int32Array.of(1, 2, 3, 4).buffer))
  assert.deepEqual(dataOf('INT64', '[[9007199254740993],[-9007199254740993], [1e3]]', [3, 1]), Buffer.from(BigInt64Array.of(2n ** 53n + 1n, -(2n ** 53n) - 1n, 1000n).buffer))
  assert.deepEqual(dataOf('FP32', '[[NaN, -Infinity],[null, 0.5]]', [2, 2]), Buffer.from(Float32Array.of(Number.NaN, Number.NEGATIVE_INFINITY, Number.NaN, 0.5).buffer))
  assert.deepEqual(dataOf('FP16', '[0.1, 65520, 6e-8]', [3]), Buffer.from([0x66, 0x2e, 0, 0x7c, 1, 0]))
  assert.deepEqual(dataOf('BF16', '[1, 3.3895313892515355e38, 1.00390625]', [3]), Buffer.from([0x80, 0x3f, 0x7f, 0x7f, 0x80, 0x3f]))
  assert.deepEqual(dataOf('FP64', '[]', [2, 0]), empty)
  assert.deepEqual(dataOf('BYTES', '[["a\\u00e9\\ud83d\\ude00"],["\\/"]]', [2, 1]), bytesOf('aé😀', '/'))
})

test('integers of 64 bits keep every digit, at every power of ten and two', () => {
  const powers = Array.from({ length: 19 }, (_, n) => 10n ** BigInt(n)).concat(Array.from({ length: 63 }, (_, n) => 2n ** BigInt(n)))
  const signed = powers.flatMap((power) => [power, power - 1n, power + 1n, -power, 1n - power, -1n - power]).concat([2n ** 63n - 1n, -(2n ** 63n), 1n - 2n ** 63n])
  const unsigned = powers.flatMap((power) => [power, power - 1n, power + 1n]).concat([2n ** 64n - 1n, 2n ** 63n, 10n ** 19n])
  for (const [datatype, values, data] of [['INT64', signed, BigInt64Array.from(signed)], ['UINT64', unsigned, BigUint64Array.from(unsigned)]] as const) {
    const bytes = Buffer.from(data.buffer)
    assert.match(jsonOf(infer({ datatype, shape: [values.length], data: bytes })).toString(), new RegExp(`\\[${values.join()}\\]`))
    assert.deepEqual(dataOf(datatype, `[${values.join()}]`, [values.length]), bytes)
  }
  assert.equal(dataOf('INT64', '[-9223372036854775809]', [1]), undefined)
  assert.equal(dataOf('UINT64', '[99999999999999999999]', [1]), undefined)
})

const datatypes = [...widths.keys(), 'BYTES']
const tensor = fc.constantFrom(...datatypes).chain((datatype) => fc.array(fc.nat(4), { maxLength: 4 }).chain((shape) => {
  const count = shape.reduce((product, length) => product * length, 1)
  const width = widths.get(datatype)
  const data = width === undefined ? fc.array(fc.uint8Array({ maxLength: 9 }), { minLength: count, maxLength: count }).map((texts) => bytesOf(...texts.map((text) => Buffer.from(text))))
    : fc.uint8Array({ minLength: count * width, maxLength: count * width }).map((bytes) => Buffer.from(datatype === 'BOOL' ? bytes.map((byte) => byte & 1) : bytes))
  return data.map((bytes) => ({ name: 'x', datatype, shape, parameters: noParameters, data: bytes }))
}))

/** What is no number has many forms in binary, and one in JSON. */
const withoutPayload = (datatype: string, data: Buffer): Buffer => {
  const bits: Readonly<Record<string, readonly [exponent: bigint, fraction: bigint]>> = { FP16: [0x7c00n, 0x3ffn], BF16: [0x7f80n, 0x7fn], FP32: [0x7f800000n, 0x7fffffn], FP64: [0x7ff0000000000000n, 0xfffffffffffffn] }
  const [exponent, fraction] = bits[datatype] ?? []
  const width = widths.get(datatype)
  if (exponent === undefined || fraction === undefined || width === undefined) return data
  const copy = Buffer.from(data)
  for (let at = 0; at < copy.length; at += width) {
    const word = BigInt(`0x${Buffer.from(copy.subarray(at, at + width)).reverse().toString('hex')}`)
    if ((word & exponent) === exponent && (word & fraction) !== 0n) copy.fill(0xff, at, at + width)
  }
  return copy
}

test('whatever a tensor holds, JSON, binary data and gRPC give it back bit by bit', () => {
  fc.assert(fc.property(tensor, (one) => {
    const message: Infer = { model: 'm', version: '1', id: 'i', parameters: noParameters, outputs: [], tensors: [one] }
    const text = writeJson('outputs', message, () => false)
    const raw = writeJson('outputs', message, () => true)
    assert.ok('pieces' in text && 'pieces' in raw)
    const [back] = inferOf(readJson('outputs', Buffer.concat(text.pieces), empty)).tensors
    assert.deepEqual(withoutPayload(one.datatype, back?.data ?? empty), withoutPayload(one.datatype, one.data))
    const [json = empty, ...rest] = raw.pieces
    assert.deepEqual(inferOf(readJson('outputs', json, Buffer.concat(rest))), message)
    assert.deepEqual(inferOf(readMessage('outputs', Buffer.concat(writeMessage('outputs', message).pieces))), message)
  }), { numRuns: 400 })
})

test('typed contents of gRPC are read for every datatype', () => {
  const contents = (field: number, ...values: (number | bigint | boolean)[]) => {
    const packed = Buffer.concat(values.map((value) => new MessageWriter().number(0, value).whole().subarray(1)))
    return new MessageWriter().bytes(field, packed)
  }
  const read = (datatype: string, inner: MessageWriter, count: number) => {
    const input = new MessageWriter().text(1, 'x').text(2, datatype).number(3, count).message(5, inner)
    const message = readMessage('inputs', new MessageWriter().text(1, 'm').message(5, input).whole())
    return 'code' in message ? undefined : message.tensors[0]?.data
  }
  assert.deepEqual(read('INT64', contents(3, -1n, 2n ** 63n - 1n, -(2n ** 63n)), 3), Buffer.from(BigInt64Array.of(-1n, 2n ** 63n - 1n, -(2n ** 63n)).buffer))
  assert.deepEqual(read('UINT64', contents(5, 2n ** 64n - 1n), 1), Buffer.alloc(8, 0xff))
  assert.deepEqual(read('INT8', contents(2, -1n, 5, -128n), 3), Buffer.from([0xff, 5, 0x80]))
  assert.deepEqual(read('UINT16', contents(4, 65_535), 1), Buffer.from([0xff, 0xff]))
  assert.deepEqual(read('BOOL', contents(1, true, false), 2), Buffer.from([1, 0]))
  assert.deepEqual(read('BYTES', new MessageWriter().text(8, 'ab').text(8, ''), 2), bytesOf('ab', ''))
  assert.deepEqual(read('FP32', new MessageWriter().bytes(6, Buffer.from(Float32Array.of(1.5).buffer)), 1), Buffer.from(Float32Array.of(1.5).buffer))
  assert.equal(read('INT8', contents(2, 300), 1), undefined)
  assert.equal(read('INT8', contents(3, 1), 1), undefined)
  assert.equal(read('INT64', new MessageWriter().bytes(3, Buffer.from([0x80])), 1), undefined)
})

test('large typed contents are read in another thread, to the same end', async () => {
  const contents = new MessageWriter().bytes(3, Buffer.alloc(300_000, 0x07))
  const message = new MessageWriter().text(1, 'm').message(5, new MessageWriter().text(1, 'x').text(2, 'INT64').number(3, 300_000).message(5, contents)).whole()
  const [read] = inferOf(await readLarge('inputs', message)).tensors
  assert.deepEqual(read?.data, Buffer.from(BigInt64Array.from({ length: 300_000 }, () => 7n).buffer))
  assert.deepEqual(message.subarray(-2), Buffer.from([7, 7]), 'it is still the caller\'s')
})

const grpcBody = (message: Buffer) => framed(message)
const grpcOk = ['grpc-status', '0']

test('V2 to gRPC: ids, parameters, requested outputs and the names of the backend; the answer as binary where that was asked', async () => {
  const body = { id: 'q', parameters: { priority: 2, rate: 0.5, tag: 'x', on: true }, inputs: [{ name: 'x', datatype: 'INT64', shape: [1], data: [7] }],
    outputs: [{ name: 'y', parameters: { binary_data: true } }, { name: 'z', parameters: { classification: 2 } }] }
  const asked = ask(v2ToGrpc, '/v2/models/m/infer', body, { model: { name: 'real', version: '3' } })
  const told = await asked.told
  assert.ok('path' in told, JSON.stringify(told))
  assert.deepEqual([told.path, told.headers], ['/inference.GRPCInferenceService/ModelInfer', ['content-type', 'application/grpc']])
  const sent = inferOf(readMessage('inputs', Buffer.concat(told.body ?? []).subarray(5)))
  assert.deepEqual([sent.model, sent.version, sent.id], ['real', '3', 'q'])
  assert.deepEqual([...sent.parameters], [['priority', 2n], ['rate', 0.5], ['tag', 'x'], ['on', true]])
  assert.deepEqual(sent.outputs.map(({ name, parameters }) => [name, [...parameters]]), [['y', []], ['z', [['classification', 2n]]]])
  const outputs = [{ name: 'y', datatype: 'FP32', shape: [1], parameters: noParameters, data: Buffer.from(Float32Array.of(2).buffer) }, { name: 'z', datatype: 'BYTES', shape: [1], parameters: noParameters, data: bytesOf('0.9:1') }]
  const answer = writeMessage('outputs', { model: 'real', version: '3', id: 'q', parameters: noParameters, outputs: [], tensors: outputs })
  const heard = await hear(asked, { headers: ['content-type', 'application/grpc'], chunks: [grpcBody(Buffer.concat(answer.pieces))], trailers: grpcOk })
  assert.equal(heard.headers.get('content-type'), 'application/octet-stream')
  const header = Number(heard.headers.get('inference-header-content-length'))
  assert.deepEqual(JSON.parse(heard.pieces.join('').slice(0, header)), { model_name: 'real', model_version: '3', id: 'q', outputs: [
    { name: 'y', datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } }, { name: 'z', datatype: 'BYTES', shape: [1], data: ['0.9:1'] }] })
})

test('a request with binary data needs no content type, and may have some inputs in JSON', async () => {
  const json = JSON.stringify({ inputs: [{ name: 'a', datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } }, { name: 'b', datatype: 'INT8', shape: [2], data: [1, -1] }] })
  const body = Buffer.concat([Buffer.from(json), Buffer.from([1, 2, 3, 4])])
  const told = await ask(v2ToGrpc, '/v2/models/m/infer', body, { headers: ['inference-header-content-length', String(json.length)] }).told
  assert.ok('path' in told)
  const sent = inferOf(readMessage('inputs', Buffer.concat(told.body ?? []).subarray(5)))
  assert.deepEqual(sent.tensors.map(({ name, data }) => [name, data]), [['a', Buffer.from([1, 2, 3, 4])], ['b', Buffer.from([1, 255])]])
})

for (const [why, headers, tail] of [
  ['is not there', ['inference-header-content-length', '110'], ''],
  ['is more than there is', ['inference-header-content-length', '99999'], 'abcd'],
  ['belongs to no tensor', ['inference-header-content-length', '#'], 'abcde'],
] as const) {
  test(`binary data that ${why} is refused`, async () => {
    const json = JSON.stringify({ inputs: [{ name: 'a', datatype: 'FP32', shape: [1], parameters: { binary_data_size: 4 } }] })
    const told = await ask(v2ToGrpc, '/v2/models/m/infer', Buffer.from(json + tail), { headers: headers.map((one) => one === '#' ? String(json.length) : one) }).told
    assert.equal('code' in told && told.code, 'invalid_request')
  })
}

test('an error over gRPC is one over REST, and the other way round', async () => {
  const asked = ask(v2ToGrpc, '/v2/models/m/infer', { inputs: [] })
  const heard = await hear(asked, { headers: ['content-type', 'application/grpc', 'grpc-status', '5', 'grpc-message', 'no%20such model'], chunks: [] })
  assert.deepEqual([heard.status, heard.pieces.join('')], [404, '{"error":"no such model"}'])
  const message = grpcBody(new MessageWriter().text(1, 'm').whole())
  const back = await hear(ask(grpcToV2, '/inference.GRPCInferenceService/ModelInfer', message), { status: 404, chunks: ['{"error":"no such model"}'] })
  assert.deepEqual([back.status, back.trailers], [200, ['grpc-status', '5', 'grpc-message', 'no such model']])
})

const questions: readonly [Translation, string, string, string][] = [
  [v2ToGrpc, '/v2/health/live', 'ServerLive', '{"live":true}'], [v2ToGrpc, '/v2/health/ready', 'ServerReady', '{"ready":true}'],
  [v2ToGrpc, '/v2/models/m/ready', 'ModelReady', '{"name":"m","ready":true}'], [v1ToGrpc, '/v1/models/m', 'ModelReady', '{"name":"m","ready":true,"id":"m","object":"model","created":0,"owned_by":""}'],
]
for (const [translation, path, method, said] of questions) {
  test(`${path} asks a gRPC backend ${method}`, async () => {
    const yes = await hear(ask(translation, path, '', { method: 'GET' }), { headers: ['content-type', 'application/grpc'], chunks: [grpcBody(new MessageWriter().number(1, true).whole())], trailers: grpcOk })
    assert.deepEqual([yes.status, yes.pieces.join('')], [200, said])
    const no = await hear(ask(translation, path, '', { method: 'GET' }), { headers: ['content-type', 'application/grpc'], chunks: [grpcBody(empty)], trailers: grpcOk })
    assert.ok(no.status >= 400)
  })
}

test('what a server and a model say of themselves goes both ways', async () => {
  const model = { name: 'm', versions: ['1', '2'], platform: 'p', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }], outputs: [{ name: 'y', datatype: 'BYTES', shape: [-1] }] }
  const heard = await hear(ask(grpcToV2, '/inference.GRPCInferenceService/ModelMetadata', grpcBody(new MessageWriter().text(1, 'm').whole())), { chunks: [JSON.stringify(model)] })
  const message = Buffer.from(heard.pieces.join(''), 'utf8')
  assert.deepEqual(heard.trailers, grpcOk)
  const again = ask(v2ToGrpc, '/v2/models/m', '', { method: 'GET' })
  const infos = (field: number, name: string, datatype: string, ...shape: number[]) => {
    const info = new MessageWriter().text(1, name).text(2, datatype)
    for (const length of shape) info.number(3, BigInt(length))
    return [field, info] as const
  }
  const writer = new MessageWriter().text(1, 'm').text(2, '1').text(2, '2').text(3, 'p')
  for (const [field, info] of [infos(4, 'x', 'FP32', -1, 3), infos(5, 'y', 'BYTES', -1)]) writer.message(field, info)
  assert.ok(message.length > 0)
  const back = await hear(again, { headers: ['content-type', 'application/grpc'], chunks: [grpcBody(writer.whole())], trailers: grpcOk })
  assert.deepEqual(JSON.parse(back.pieces.join('')), model)
})

const inputsOf = (body: readonly Buffer[] | null): unknown => (JSON.parse(Buffer.concat(body ?? []).toString()) as { inputs: unknown }).inputs

test('V1 to V2: rows become tensors, by what the model says of its inputs or by what is there', async () => {
  const translate = async (body: unknown, metadata?: unknown) => {
    const told = await ask(v1ToV2, '/v1/models/m:predict', body, {
      call: () => Promise.resolve({ status: metadata === undefined ? 404 : 200, headers: [], body: Buffer.from(JSON.stringify(metadata ?? {})), trailers: [] }),
    }).told
    return 'code' in told ? told.code : inputsOf(told.body)
  }
  assert.deepEqual(await translate({ instances: [[1, 2], [3, 4]] }), [{ name: 'input-0', datatype: 'INT64', shape: [2, 2], data: [1, 2, 3, 4] }])
  assert.deepEqual(await translate({ instances: [1.5, 2] }), [{ name: 'input-0', datatype: 'FP64', shape: [2], data: [1.5, 2] }])
  const wanted = { inputs: [{ name: 'A', datatype: 'FP32', shape: [-1] }, { name: 'B', datatype: 'INT32', shape: [-1, 1] }] }
  assert.deepEqual(await translate({ instances: [{ A: 1, B: 2 }, { B: 4, A: 3 }] }, wanted),
    [{ name: 'A', datatype: 'FP32', shape: [2], data: [1, 3] }, { name: 'B', datatype: 'INT32', shape: [2, 1], data: [2, 4] }])
  assert.deepEqual(await translate({ inputs: { A: [1, 2], B: [[3], [4]] } }, wanted),
    [{ name: 'A', datatype: 'FP32', shape: [2], data: [1, 2] }, { name: 'B', datatype: 'INT32', shape: [2, 1], data: [3, 4] }])
  assert.deepEqual(await translate({ instances: ['a', 'b'] }), [{ name: 'input-0', datatype: 'BYTES', shape: [2], data: ['a', 'b'] }])
  assert.deepEqual(await translate({ instances: [{ b64: 'aGk=' }] }), [{ name: 'input-0', datatype: 'BYTES', shape: [1], data: ['hi'] }])
  assert.equal(await translate({ instances: [[1, 2], [3]] }), 'invalid_request')
  assert.equal(await translate({ instances: [1, 'a'] }), 'invalid_request')
  assert.equal(await translate({ instances: [{ A: 1 }, { B: 1 }] }), 'invalid_request')
  assert.equal(await translate({ instances: [1], signature_name: 'x' }), 'unsupported_translation')
  assert.equal(await translate('{"instances":[1]'), 'invalid_request')
})

test('V2 to V1 and back: outputs become predictions in rows', async () => {
  const one = { model_name: 'm', outputs: [{ name: 'y', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] }] }
  const heard = await hear(ask(v1ToV2, '/v1/models/m:predict', { instances: [1] }), { chunks: [JSON.stringify(one)] })
  assert.equal(heard.pieces.join(''), '{"predictions":[[1.0,2.0],[3.0,4.0]]}')
  const two = { model_name: 'm', outputs: [...one.outputs, { name: 'z', datatype: 'BYTES', shape: [2], data: ['a', 'b'] }] }
  const rows = await hear(ask(v1ToV2, '/v1/models/m:predict', { instances: [1] }), { chunks: [JSON.stringify(two)] })
  assert.equal(rows.pieces.join(''), '{"predictions":[{"y":[1.0,2.0],"z":"a"},{"y":[3.0,4.0],"z":"b"}]}')
  const asked = ask(v2ToV1, '/v2/models/m/infer', '{"id":"q","inputs":[{"name":"x","datatype":"INT64","shape":[2,1],"data":[1,9007199254740993]}]}')
  const told = await asked.told
  assert.ok('path' in told)
  assert.deepEqual([told.path, Buffer.concat(told.body ?? []).toString()], ['/v1/models/m:predict', '{"instances":[[1],[9007199254740993]]}'])
  const back = await hear(asked, { chunks: ['{"predictions":[0.5,1]}'] })
  assert.deepEqual(JSON.parse(back.pieces.join('')), { model_name: 'm', id: 'q', outputs: [{ name: 'output-0', datatype: 'FP64', shape: [2], data: [0.5, 1] }] })
})

test('what V1 has no words for is refused, not dropped', async () => {
  const input = { name: 'x', datatype: 'INT64', shape: [2], data: [1, 2] }
  for (const body of [
    { inputs: [input], parameters: { a: 1 } }, { inputs: [{ ...input, parameters: { a: 1 } }] }, { inputs: [input, { ...input, name: 'y', shape: [1], data: [1] }] },
    { inputs: [{ ...input, shape: [] , data: [1] }] }, { inputs: [input], outputs: [{ name: 'y', parameters: { classification: 1 } }] }, { inputs: [input], raw: 1 },
  ]) {
    const told = await ask(v2ToV1, '/v2/models/m/infer', body).told
    assert.equal('code' in told && told.code, 'unsupported_translation', JSON.stringify(body))
  }
  const explain = await ask(grpcToV1, '/inference.GRPCInferenceService/ModelConfig', grpcBody(empty)).told
  assert.equal('code' in explain && explain.code, 'unsupported_translation')
})

test('an answer that is no answer is the fault of the backend', async () => {
  for (const chunk of ['{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[1]}]}', 'nothing', '{"outputs":3}']) {
    const heard = await hear(ask(v1ToV2, '/v1/models/m:predict', { instances: [1] }), { chunks: [chunk] })
    assert.equal(heard.refused?.code, 'upstream_protocol', chunk)
  }
  const heard = await hear(ask(v2ToGrpc, '/v2/models/m/infer', { inputs: [] }), { headers: ['content-type', 'application/grpc'], chunks: [Buffer.from([0, 0, 0, 0, 9])], trailers: grpcOk })
  assert.equal(heard.refused?.code, 'upstream_protocol')
})

test('names of prototypes are names like others', async () => {
  const told = await ask(v2ToGrpc, '/v2/models/m/infer', '{"inputs":[{"name":"__proto__","datatype":"INT8","shape":[1],"data":[1],"parameters":{"__proto__":"x","constructor":1}}]}').told
  assert.ok('path' in told)
  const [sent] = inferOf(readMessage('inputs', Buffer.concat(told.body ?? []).subarray(5))).tensors
  assert.deepEqual([sent?.name, [...sent?.parameters ?? []]], ['__proto__', [['__proto__', 'x'], ['constructor', 1n]]])
  assert.equal(({} as Record<string, unknown>)['x'], undefined)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { worked } from '../json/text.ts'
import { formOf } from './forms.ts'
import type { Share, Single } from './single.ts'

type Tensor = { name: string; shape: number[]; datatype: string; data?: unknown; parameters?: unknown }

function read(path: string, body: string | Buffer, headers: readonly string[] = []): Single | string {
  const form = formOf(path)
  assert.ok(form)
  const bytes = Buffer.from(body)
  const found = worked(form(bytes, headers), bytes.length)
  assert.ok(typeof found === 'string' || 'rows' in found)
  return found
}

function single(...given: Parameters<typeof read>): Single {
  const found = read(...given)
  assert.ok(typeof found !== 'string')
  return found
}

function split(all: readonly Single[], body: string | Buffer, headers: readonly string[] = []): readonly Share[] | undefined {
  const bytes = Buffer.from(body)
  const shares = worked(joinedOf(all).split({ status: 200, headers, body: bytes, trailers: [] }), bytes.length)
  assert.ok(shares === undefined || Array.isArray(shares))
  return shares
}

function joinedOf(all: readonly Single[]) {
  const [first] = all
  assert.ok(first)
  return first.join(all)
}

const infer = '/v2/models/m/infer'
const asked = (data: string, shape: string, more = '') => `{"inputs":[{"name":"x","shape":${shape},"datatype":"INT64","data":${data}}]${more}}`

test('requests of V2 become one with all rows, digits as they were written, and each gets its rows with its own id', () => {
  const all = [single(infer, asked('[[9007199254740993, 1]]', '[1,2]', ',"id":"a"')), single(infer, asked('[[3,4],[5,6.0]]', '[2,2]')), single(infer, asked('[[7,8]]', '[1,2]', ',"id" : "c"'))]
  assert.equal(new Set(all.map(({ kind }) => kind)).size, 1)
  const { body, headers } = joinedOf(all)
  assert.equal(body.toString(), '{"inputs":[{"name":"x","datatype":"INT64","shape":[4,2],"data":[[9007199254740993, 1],[3,4],[5,6.0],[7,8]]}]}')
  assert.deepEqual(headers, ['content-type', 'application/json'])
  const shares = split(all, '{"model_name":"m","id":"z","outputs":[{"name":"y","datatype":"FP32","shape":[4],"data":[1.5,2, 3,4e0]},{"name":"z","datatype":"BYTES","shape":[4,1],"data":[["a"],["b,]"],["c"],["d"]]}]}')
  assert.deepEqual(shares?.map(({ body: own }) => own.toString()), [
    '{"id":"a","model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1.5]},{"name":"z","datatype":"BYTES","shape":[1,1],"data":[["a"]]}]}',
    '{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[2, 3]},{"name":"z","datatype":"BYTES","shape":[2,1],"data":[["b,]"],["c"]]}]}',
    '{"id":"c","model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[4e0]},{"name":"z","datatype":"BYTES","shape":[1,1],"data":[["d"]]}]}',
  ])
})

function binary(tensors: readonly Tensor[], chunks: readonly Buffer[], name = 'inputs', more: object = {}): { body: Buffer; headers: string[] } {
  const json = Buffer.from(JSON.stringify({ ...more, [name]: tensors }))
  return { body: Buffer.concat([json, ...chunks]), headers: ['inference-header-content-length', String(json.length)] }
}
const floats = (...values: number[]) => Buffer.from(new Float32Array(values).buffer)
const texts = (...values: string[]) => Buffer.concat(values.flatMap((text) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(Buffer.byteLength(text))
  return [head, Buffer.from(text)]
}))

test('tensors in binary are joined value by value, and cut by the rows, BYTES too', () => {
  const of = (x: Buffer, words: Buffer, rows: number) => {
    const { body, headers } = binary([
      { name: 'x', shape: [rows, 2], datatype: 'FP32', parameters: { binary_data_size: x.length } },
      { name: 'w', shape: [rows, 1], datatype: 'BYTES', parameters: { binary_data_size: words.length } },
    ], [x, words], 'inputs', { parameters: { binary_data_output: true } })
    return single(infer, body, headers)
  }
  const all = [of(floats(1, 2), texts('a'), 1), of(floats(3, 4, 5, 6), texts('', 'long one'), 2)]
  assert.equal(all[0]?.kind, all[1]?.kind)
  const { body, headers } = joinedOf(all)
  const length = Number(headers[headers.indexOf('inference-header-content-length') + 1])
  assert.equal(body.toString('utf8', 0, length), '{"parameters":{"binary_data_output":true},"inputs":['
    + '{"name":"x","datatype":"FP32","parameters":{"binary_data_size":24},"shape":[3,2]},{"name":"w","datatype":"BYTES","parameters":{"binary_data_size":21},"shape":[3,1]}]}')
  assert.deepEqual(body.subarray(length), Buffer.concat([floats(1, 2, 3, 4, 5, 6), texts('a', '', 'long one')]))
  const answer = binary([
    { name: 'y', shape: [3], datatype: 'FP32', parameters: { binary_data_size: 12 } }, { name: 'n', shape: [3], datatype: 'INT32', data: [1, 2, 3] },
    { name: 't', shape: [3], datatype: 'BYTES', parameters: { binary_data_size: 18, label: 'l' } },
  ], [floats(10, 20, 30), texts('xyz', '', 'abc')], 'outputs')
  const shares = split(all, answer.body, answer.headers)
  assert.ok(shares)
  const parts = shares.map(({ headers: own, body: whole }) => {
    const at = Number(own[own.indexOf('inference-header-content-length') + 1])
    return [JSON.parse(whole.toString('utf8', 0, at)), whole.subarray(at)]
  })
  assert.deepEqual(parts, [
    [{ outputs: [
      { name: 'y', datatype: 'FP32', parameters: { binary_data_size: 4 }, shape: [1] }, { name: 'n', datatype: 'INT32', shape: [1], data: [1] },
      { name: 't', datatype: 'BYTES', parameters: { label: 'l', binary_data_size: 7 }, shape: [1] },
    ] }, Buffer.concat([floats(10), texts('xyz')])],
    [{ outputs: [
      { name: 'y', datatype: 'FP32', parameters: { binary_data_size: 8 }, shape: [2] }, { name: 'n', datatype: 'INT32', shape: [2], data: [2, 3] },
      { name: 't', datatype: 'BYTES', parameters: { label: 'l', binary_data_size: 11 }, shape: [2] },
    ] }, Buffer.concat([floats(20, 30), texts('', 'abc')])],
  ])
})

test('instances of V1 become one list, and each gets its predictions', () => {
  const path = '/v1/models/m:predict'
  const all = [single(path, '{"instances":[[1.0, 2]],"signature_name":"s"}'), single(path, '{"signature_name":"s","instances":[{"a":"]"}, "b" ]}')]
  assert.equal(all[0]?.kind, all[1]?.kind)
  assert.equal(joinedOf(all).body.toString(), '{"signature_name":"s","instances":[[1.0, 2],{"a":"]"}, "b"]}')
  assert.deepEqual(split(all, '{"predictions":[[0.10],{"p":1} ,null],"model_name":"m"}')?.map(({ body }) => body.toString()), [
    '{"model_name":"m","predictions":[[0.10]]}', '{"model_name":"m","predictions":[{"p":1} ,null]}',
  ])
})

test('what differs in name, datatype, shape of a row, parameters, outputs or form is never joined', () => {
  const tensor = (more: object) => JSON.stringify({ inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2], ...more }] })
  const kinds = [
    tensor({}), tensor({ name: 'y' }), tensor({ datatype: 'FP64' }), tensor({ shape: [1, 1], data: [1] }), tensor({ data: [[1, 2]] }), tensor({ parameters: { a: 1 } }),
    tensor({ shape: [1, 2, 1] }), `{"parameters":{"p":1},${tensor({}).slice(1)}`, `{"outputs":[{"name":"y"}],${tensor({}).slice(1)}`,
    JSON.stringify({ inputs: [1, 2].map((at) => ({ name: `x${at}`, shape: [1], datatype: 'FP32', data: [1] })) }),
  ].map((body) => single(infer, body).kind)
  assert.equal(new Set(kinds).size, kinds.length)
  assert.equal(single(infer, tensor({ shape: [2, 2], data: [1, 2, 3, 4] })).kind, kinds[0])
  assert.notEqual(single('/v1/models/m:predict', '{"instances":[1],"a":1}').kind, single('/v1/models/m:predict', '{"instances":[1]}').kind)
})

test('a request that cannot be told from its neighbours is none that is joined', () => {
  const wrong = [
    '', '{}', '[]', '{"inputs":{}}', '{"inputs":[]}', '{"inputs":[1]}', asked('[1]', '[1,2]'), asked('[1,2,3]', '[1,2]'), asked('[1]', '[]'), asked('[]', '[0]'), asked('[1]', '1'),
    asked('[1]', '[1.5]'), asked('[1]', '[-1]'), asked('[1]', '[1],"shape":[1]'), asked('[1]', '[1]', ',"inputs":[]'), asked('[1]', '[1]', ',"Inputs":[]'), asked('[1]', '[1]', ',"x":1'),
    asked('[1]', '[1]', ',"parameters":{"sequence_id":7}'), asked('[1]', '[1]', ',"outputs":[{"name":"y","parameters":{"shared_memory_region":"r"}}]'),
    asked('[1]', '[1],"parameters":{"shared_memory_region":"r","shared_memory_byte_size":8}'), asked('[1]', '[1],"parameters":{"binary_data_size":8}'), `${asked('[1]', '[1]')} x`,
    JSON.stringify({ inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }, { name: 'y', shape: [2], datatype: 'FP32', data: [1, 2] }] }),
  ]
  for (const body of wrong) assert.equal(typeof read(infer, body), 'string', body)
  for (const { body, headers } of [
    binary([{ name: 'x', shape: [1], datatype: 'FP32', parameters: { binary_data_size: 4 } }], [floats(1, 2)]),
    binary([{ name: 'x', shape: [2], datatype: 'FP32', parameters: { binary_data_size: 4 } }], [floats(1)]),
    binary([{ name: 'x', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: 4 } }], [floats(1)]),
    binary([{ name: 'x', shape: [1], datatype: 'ODD', parameters: { binary_data_size: 4 } }], [floats(1)]),
  ]) assert.equal(typeof read(infer, body, headers), 'string', body.toString('latin1'))
  assert.equal(typeof read(infer, asked('[1]', '[1]'), ['inference-header-content-length', '99999']), 'string')
  for (const body of ['{"instances":[]}', '{"instances":{}}', '{"inputs":[1]}', '{"instances":[1],"instances":[2]}']) assert.equal(typeof read('/v1/models/m:predict', body), 'string', body)
  for (const path of ['/v2/models/m', '/v2/models/m/generate', '/v1/models/m:explain', '/v1/completions', '/']) assert.equal(formOf(path), undefined, path)
})

test('an answer that does not have a row for each is nobody\'s', () => {
  const all = [single(infer, asked('[1]', '[1]')), single(infer, asked('[2]', '[1]'))]
  const outputs = (text: string) => `{"outputs":[{"name":"y","datatype":"FP32",${text}}]}`
  for (const body of [
    '', '{}', '{"outputs":{}}', '{"error":"x"}', outputs('"shape":[1],"data":[1]'), outputs('"shape":[3],"data":[1,2,3]'), outputs('"shape":[2],"data":[1]'), outputs('"shape":[2]'),
    outputs('"shape":[2],"data":[1,2],"data":[3,4]'), `${outputs('"shape":[2],"data":[1,2]')}x`, outputs('"shape":[2],"parameters":{"binary_data_size":8}'),
  ]) assert.equal(split(all, body), undefined, body)
  const instances = ['{"instances":[1]}', '{"instances":[2]}'].map((body) => single('/v1/models/m:predict', body))
  for (const body of ['{"predictions":[1]}', '{"predictions":[1,2,3]}', '{"predictions":{"a":1}}', '{"outputs":[1,2]}']) assert.equal(split(instances, body), undefined, body)
})

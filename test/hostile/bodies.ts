import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { MessageWriter } from '../../dataplane/protocols/protobuf.ts'

/** A request that somebody may send. `grpc`: over HTTP/2. */
export type Hostile = Readonly<{ rule: string; path: string; headers: Readonly<Record<string, string>>; body: Buffer; grpc: boolean }>

type Template = Readonly<{ path: string; headers: Readonly<Record<string, string>>; body: Buffer; grpc?: true }>

const json = (path: string, value: unknown): Template => ({ path, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(value)) })

function binary(): Template {
  const head = Buffer.from(JSON.stringify({
    id: 'b', parameters: { binary_data_output: true },
    inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', parameters: { binary_data_size: 8 } }, { name: 't', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: 7 } }],
  }))
  const body = Buffer.concat([head, Buffer.from(new Float32Array([1, 2]).buffer), Buffer.from([3, 0, 0, 0]), Buffer.from('abc')])
  return { path: '/v2/models/m/infer', headers: { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) }, body }
}

export function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** A tensor of two numbers: `contents`, in the message itself, or else beside it. */
function tensor(contents: boolean): MessageWriter {
  const message = new MessageWriter().text(1, 'x').text(2, 'FP32').bytes(3, Buffer.from([1, 2]))
  return contents ? message.message(5, new MessageWriter().bytes(6, Buffer.from(new Float32Array([1, 2]).buffer))) : message
}

function grpc(method: string, contents: boolean): Template {
  const message = new MessageWriter().text(1, 'm').text(3, 'g').message(4, new MessageWriter().text(1, 'p').message(2, new MessageWriter().number(2, 7))).message(5, tensor(contents))
  if (!contents) message.bytes(7, Buffer.from(new Float32Array([1, 2]).buffer))
  return { path: `/inference.GRPCInferenceService/${method}`, headers: { 'content-type': 'application/grpc', te: 'trailers' }, body: framed(message.whole()), grpc: true }
}

const form = ['--b', 'content-disposition: form-data; name="model"', '', 'm', '--b', 'content-disposition: form-data; name="file"; filename="a.wav"', '', 'RIFF', '--b--', ''].join('\r\n')

/** One of each kind, as honest clients send it. */
export const templates: readonly Template[] = [
  json('/v1/models/m:predict', { instances: [[1, 2], [3, 4.5]] }),
  json('/v1/models/m:predict', { instances: [{ x: [1, 2], t: 'a' }], signature_name: 's' }),
  json('/v2/models/m/infer', { id: 'i', inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] }], parameters: { p: 1 }, outputs: [{ name: 'y' }] }),
  json('/v2/models/m/versions/2/infer', { inputs: [{ name: 'x', shape: [2], datatype: 'INT64', data: [-7, 2 ** 53] }, { name: 't', shape: [2], datatype: 'BYTES', data: ['a', 'é'] }] }),
  binary(),
  json('/v2/models/m/generate', { text_input: 'hello', parameters: { max_tokens: 4, stop: ['.'] } }),
  json('/v2/models/m/generate_stream', { text_input: 'hello', max_tokens: 4 }),
  json('/v1/chat/completions', { model: 'm', messages: [{ role: 'system', content: 'a' }, { role: 'user', content: [{ type: 'text', text: 'b' }] }], temperature: 0 }),
  json('/v1/completions', { model: 'm', prompt: ['a', 'b'], max_tokens: 3, stream: true }),
  json('/v1/embeddings', { model: 'm', input: ['a', 'b'], encoding_format: 'base64' }),
  { path: '/v1/audio/transcriptions', headers: { 'content-type': 'multipart/form-data; boundary=b' }, body: Buffer.from(form) },
  grpc('ModelInfer', true), grpc('ModelInfer', false), grpc('ModelStreamInfer', true),
]

/** What is put in the middle of something. */
const tokens = [
  '{', '}', '[', ']', '"', ',', ':', '\\', '\0', '\u2028', 'null', 'NaN', '-0', '1e999', '-1', '0.1', '18446744073709551616', '9007199254740993', '"\\ud800"', '""', '{}', '[]', '[[', '/*', '//', '\r\n--b',
  '"__proto__":{"polluted":1},', '{"__proto__":{"polluted":1}}', '"constructor":{"prototype":{"polluted":1}},', '"prototype":1,', '"shape":[-1],', '"shape":[1e9,1e9],', '"data":[],', '"inputs":[],', '"model":"__proto__",',
  '"toString":1,', '"hasOwnProperty":null,', '"length":-1,', '"datatype":"BYTES",', '"binary_data_size":-1,', '"instances":{"__proto__":[]},', '[[[[[[[[[[[[[[[[', '['.repeat(3000), '{"a":'.repeat(3000), 'x'.repeat(5000), '1'.repeat(400),
].map((token) => Buffer.from(token)).concat([Buffer.from([0xff, 0xfe]), Buffer.from([0xc0, 0x80]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.alloc(16, 0xff), Buffer.from([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])])

/** At a place, from 0 to 1. */
const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })
type Change = (body: Buffer) => Buffer
const at = (body: Buffer, share: number) => Math.floor(share * body.length)

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(place, fc.constantFrom(...tokens)).map(([share, token]): Change => (body) => Buffer.concat([body.subarray(0, at(body, share)), token, body.subarray(at(body, share))])),
  fc.tuple(place, fc.nat(255)).map(([share, byte]): Change => (body) => {
    const other = Buffer.from(body)
    if (other.length > 0) other[at(other, share)] = byte
    return other
  }),
  place.map((share): Change => (body) => body.subarray(0, at(body, share))),
  fc.tuple(place, place).map(([from, to]): Change => (body) => Buffer.concat([body.subarray(0, at(body, Math.min(from, to))), body.subarray(at(body, Math.max(from, to)))])),
  fc.tuple(place, fc.nat(60)).map(([share, length]): Change => (body) => Buffer.concat([body, body.subarray(at(body, share), at(body, share) + length)])),
  // A value in the place of another.
  fc.tuple(fc.nat(30), fc.oneof(fc.json({ maxDepth: 3 }), fc.constantFrom(...tokens.map(String)))).map(([which, value]): Change => (body) => {
    let seen = 0
    return Buffer.from(body.toString('latin1').replaceAll(/"[^"]*"|-?\d+(?:\.\d+)?/g, (found) => (seen++ === which ? value : found)), 'latin1')
  }),
)

/** Another value in the place of one of JSON, which stays JSON. */
const inJson: fc.Arbitrary<Change> = fc.tuple(fc.nat(40), fc.oneof(fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value)), fc.constantFrom('{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '[[[[1]]]]', '-1', '1e300', '"\\ud800"', '[]', '{}', 'null', '[null]', '9007199254740993')))
  .map(([which, value]): Change => (body) => {
    try {
      let seen = 0
      const text = JSON.stringify(JSON.parse(body.toString()), (_key, one: unknown) => (seen++ === which + 1 ? JSON.parse(value) as unknown : one))
      return Buffer.from(text ?? '')
    } catch {
      return body
    }
  })

const whole: fc.Arbitrary<Buffer> = fc.oneof(
  fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text)), fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)), fc.string({ unit: 'binary', maxLength: 200 }).map((text) => Buffer.from(text)), fc.constant(Buffer.alloc(0)),
)

const types = ['application/json', 'application/octet-stream', 'application/grpc', 'text/plain', 'multipart/form-data; boundary=b', 'application/x-www-form-urlencoded', '']
/** What a header says beside what it should. */
const oddHeader: fc.Arbitrary<Readonly<Record<string, string>>> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.constantFrom(...types).map((type) => ({ 'content-type': type })) },
  { weight: 1, arbitrary: fc.oneof(fc.nat(400).map(String), fc.constantFrom('-1', '1e3', '0x10', '99999999999', 'NaN')).map((length) => ({ 'inference-header-content-length': length })) },
  { weight: 1, arbitrary: fc.constantFrom('gzip', 'deflate', 'br', 'zstd', 'gzip, gzip', 'x').map((coding) => ({ 'content-encoding': coding })) },
)

const seldom = <T>(arbitrary: fc.Arbitrary<T>) => fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary })

/** Requests for these rules, most of them broken in some way; with sound ones in between. */
export function hostiles(rules: readonly string[]): fc.Arbitrary<Hostile> {
  return fc.record({
    rule: fc.constantFrom(...rules), template: fc.constantFrom(...templates), changes: fc.oneof(fc.array(inJson, { maxLength: 3 }), fc.array(change, { minLength: 1, maxLength: 4 })), instead: seldom(whole), headers: oddHeader,
    packed: fc.nat(19), other: seldom(fc.constantFrom(...templates.map(({ path }) => path))),
  }).map(({ rule, template, changes, instead, headers, packed, other }): Hostile => {
    let body = changes.reduce((so, make) => make(so), instead ?? template.body)
    const all = { ...template.headers, ...headers }
    if (packed === 0) {
      body = gzipSync(body)
      all['content-encoding'] = 'gzip'
    }
    return { rule, path: other ?? template.path, headers: all, body, grpc: template.grpc === true }
  })
}

/** Answers of a backend, broken likewise. */
export const answers: fc.Arbitrary<Buffer> = fc.tuple(
  fc.constantFrom(
    '{"predictions":[[0.5],[0.25]]}', '{"model_name":"m","id":"i","outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[1,2]}]}', '{"text_output":"a","model_name":"m"}',
    'data: {"text_output":"a"}\n\n', '{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}',
    'data: {"choices":[{"text":"a"}]}\n\ndata: [DONE]\n\n', '{"data":[{"index":0,"embedding":[0.1]}],"model":"m"}', '{"error":"no"}',
  ),
  fc.array(change, { maxLength: 3 }), seldom(whole),
).map(([text, changes, instead]) => changes.reduce((so, make) => make(so), instead ?? Buffer.from(text)))

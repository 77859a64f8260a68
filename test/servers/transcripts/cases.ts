// What clients ask real servers, right and wrong, over REST and over gRPC.
import { gzipSync } from 'node:zlib'

export type Case = Readonly<{
  name: string
  method?: string
  path: string
  headers?: Readonly<Record<string, string>>
  /** Undefined: none. */
  body?: string | Buffer
  /** It is sent in pieces, without a length. */
  chunked?: boolean
  /** What it says depends on what the server has done before. */
  varies?: boolean
  /** What becomes of it across protocols, where that is not the same: a status, and why. */
  crossed?: readonly [status: number, why: string]
}>

const json = { 'content-type': 'application/json' }
const octets = { 'content-type': 'application/octet-stream' }
const post = (name: string, path: string, body: unknown, more: Partial<Case> = {}): Case =>
  ({ name, method: 'POST', path, headers: json, body: typeof body === 'string' ? body : JSON.stringify(body), ...more })
const get = (name: string, path: string, more: Partial<Case> = {}): Case => ({ name, method: 'GET', path, ...more })
const bare = (name: string, path: string, more: Partial<Case> = {}): Case => ({ name, method: 'POST', path, ...more })

const fp32 = (name: string, data: readonly number[], more: object = {}) => ({ name, shape: [data.length], datatype: 'FP32', data, ...more })
const sum = { id: 'req-1', inputs: [fp32('A', [1, 2]), fp32('B', [3, 4])] }

/** JSON, and tensors after it. */
function binary(name: string, path: string, head: object, tensors: readonly Buffer[], more: Partial<Case> = {}): Case {
  const text = Buffer.from(JSON.stringify(head))
  return { name, method: 'POST', path, headers: { ...octets, 'inference-header-content-length': String(text.length) }, body: Buffer.concat([text, ...tensors]), ...more }
}
const floats = (...numbers: number[]) => Buffer.from(Float32Array.from(numbers).buffer)
const inBinary = (name: string, size: number, more: object = {}) => ({ name, shape: [2], datatype: 'FP32', parameters: { binary_data_size: size }, ...more })
const both = [inBinary('A', 8), inBinary('B', 8)]
const text = (value: string) => ({ inputs: [{ name: 'IN', shape: [1, 1], datatype: 'BYTES', data: [value] }] })
const lengths = (...texts: string[]) => Buffer.concat(texts.flatMap((one) => [Buffer.from(Uint32Array.of(one.length).buffer), Buffer.from(one)]))

const add = '/v2/models/add/infer'
const ours = [422, 'what the server cannot be asked, it does not refuse itself'] as const
const unserved = [422, 'there are no words for it in gRPC'] as const
/** A request that Triton takes for a fault of its own, and the gateway for one of its caller. */
const invalid = [400, 'what is no request is told by the gateway'] as const

export const triton: readonly Case[] = [
  get('server metadata', '/v2'), get('live', '/v2/health/live'), get('ready', '/v2/health/ready'),
  get('metadata of a model', '/v2/models/add'), get('metadata of a version', '/v2/models/add/versions/2'),
  get('configuration', '/v2/models/add/config', { crossed: unserved }), get('statistics', '/v2/models/add/stats', { varies: true, crossed: unserved }),
  get('ready model', '/v2/models/add/ready'), get('model that does not load', '/v2/models/broken/ready'), get('unknown model', '/v2/models/nope/ready'), get('unknown version', '/v2/models/add/versions/9/ready'),
  post('inference', add, sum), post('of version 1', '/v2/models/add/versions/1/infer', sum), post('of version 2', '/v2/models/add/versions/2/infer', sum),
  post('of version 9', '/v2/models/add/versions/9/infer', sum), post('of an unknown model', '/v2/models/nope/infer', sum), post('of one that does not load', '/v2/models/broken/infer', { inputs: [fp32('X', [1])] }),
  post('no JSON', add, '{"inputs":[', { crossed: invalid }), post('no inputs', add, { id: 'x' }, { crossed: invalid }), post('an input that is missing', add, { inputs: [fp32('A', [1, 2])] }),
  post('a wrong datatype', add, { inputs: [fp32('A', [1, 2], { datatype: 'INT32' }), fp32('B', [3, 4])] }), post('too little data', add, { inputs: [fp32('A', [1], { shape: [2] }), fp32('B', [3, 4])] }, { crossed: invalid }),
  post('shapes that do not fit', add, { inputs: [fp32('A', [1]), fp32('B', [3, 4])] }), post('an error of the model', '/v2/models/echo/infer', text('fail')),
  post('no content type', add, sum, { headers: {} }), post('in chunks', add, sum, { chunked: true }), post('with Expect', add, sum, { headers: { ...json, expect: '100-continue' } }),
  post('packed with gzip', add, '', { headers: { ...json, 'content-encoding': 'gzip' }, body: gzipSync(JSON.stringify(sum)) }),
  post('for gzip', add, sum, { headers: { ...json, 'accept-encoding': 'gzip' } }), post('for deflate', add, sum, { headers: { ...json, 'accept-encoding': 'deflate' } }),
  binary('binary', add, { id: 'bin-1', inputs: both, outputs: [{ name: 'SUM', parameters: { binary_data: true } }] }, [floats(1, 2), floats(3, 4)]),
  binary('binary, all of it', add, { inputs: both, parameters: { binary_data_output: true } }, [floats(1, 2), floats(3, 4)]), binary('binary and JSON', add, { inputs: [inBinary('A', 8), fp32('B', [3, 4])] }, [floats(1, 2)]),
  binary('too little binary', add, { inputs: [inBinary('A', 8), inBinary('B', 4)] }, [floats(1, 2), floats(3)]),
  binary('BYTES in binary', '/v2/models/echo/infer', { inputs: [{ name: 'IN', shape: [1, 2], datatype: 'BYTES', parameters: { binary_data_size: 17 } }], outputs: [{ name: 'OUT', parameters: { binary_data: true } }] }, [lengths('hello', 'you!')]),
  binary('binary without its header', add, { inputs: both }, [floats(1, 2), floats(3, 4)], { headers: octets, crossed: invalid }), binary('binary with a wrong header', add, { inputs: both }, [], { headers: { ...octets, 'inference-header-content-length': '99999' } }),
  post('generate of several answers', '/v2/models/text/generate', { text_input: 'one two three', stream: true }, { crossed: [400, 'what is wrong is told by a status, and not under 200'] }),
  post('generate of one answer', '/v2/models/text/generate', { text_input: 'one two three', max_tokens: 1 }), post('generate_stream', '/v2/models/text/generate_stream', { id: 'g1', text_input: 'one two three', stream: true, max_tokens: 3 }),
  post('inference of a model that streams', '/v2/models/text/infer', { inputs: [{ name: 'text_input', shape: [1], datatype: 'BYTES', data: ['a b'] }] }),
  bare('list of models', '/v2/repository/index'), bare('unloading', '/v2/repository/models/echo/unload', { crossed: unserved }), post('of an unloaded model', '/v2/models/echo/infer', text('x')), get('an unloaded model', '/v2/models/echo/ready'),
  bare('loading', '/v2/repository/models/echo/load', { crossed: unserved }), bare('loading an unknown model', '/v2/repository/models/nope/load', { crossed: ours }), get('another method', add), get('no path of V2', '/v3/x', { crossed: ours }),
]

const rows = (data: readonly number[], columns = 4) => ({ id: 'req-1', inputs: [{ name: 'predict', shape: [data.length / columns, columns], datatype: 'FP32', data }] })
const flowers = rows([5.1, 3.5, 1.4, 0.2, 6.7, 3, 5.2, 2.3])
const prompt = (name: string, value: string) => ({ id: 's1', inputs: [{ name, shape: [1], datatype: 'BYTES', data: [value] }] })
const iris = '/v2/models/iris'

export const mlserver: readonly Case[] = [
  get('server metadata', '/v2'), get('live', '/v2/health/live'), get('ready', '/v2/health/ready'), get('metadata of a model', iris), get('metadata of a version', `${iris}/versions/v2`), get('metadata with tensors', '/v2/models/adder'),
  get('ready model', `${iris}/ready`), get('ready version', `${iris}/versions/v1/ready`), get('unknown model', '/v2/models/nope/ready'), get('unknown version', `${iris}/versions/v9/ready`), get('documents', '/v2/docs/dataplane.json'), get('metrics elsewhere', '/metrics'),
  post('inference', `${iris}/infer`, flowers), post('of version 1', `${iris}/versions/v1/infer`, flowers), post('of version 2', `${iris}/versions/v2/infer`, flowers), post('of version 9', `${iris}/versions/v9/infer`, flowers),
  post('of an unknown model', '/v2/models/nope/infer', flowers), post('no JSON', `${iris}/infer`, '{"inputs":['), post('no inputs', `${iris}/infer`, { id: 'x' }), post('a wrong shape', `${iris}/infer`, rows([1, 2], 2)),
  post('too little data', `${iris}/infer`, { inputs: [{ name: 'predict', shape: [1, 4], datatype: 'FP32', data: [1, 2] }] }), post('an error of the model', '/v2/models/adder/infer', { inputs: [fp32('a', [1])] }), post('two inputs', '/v2/models/adder/infer', { inputs: [fp32('a', [1, 2]), fp32('b', [3, 4])] }),
  post('packed with gzip', `${iris}/infer`, '', { headers: { ...json, 'content-encoding': 'gzip' }, body: gzipSync(JSON.stringify(flowers)) }), post('for gzip', `${iris}/infer`, flowers, { headers: { ...json, 'accept-encoding': 'gzip' } }),
  binary('binary, which it does not take', `${iris}/infer`, { inputs: [{ name: 'predict', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: 16 } }] }, [floats(1, 2, 3, 4)]),
  post('a stream', '/v2/models/lm/infer_stream', prompt('prompt', 'one two three four')), post('a stream of generate', '/v2/models/lm/generate_stream', prompt('prompt', 'one two three four')), post('a stream of a model that has none', `${iris}/infer_stream`, flowers),
  post('inference of a model that streams', '/v2/models/lm/infer', prompt('prompt', 'x')), post('list of models', '/v2/repository/index', {}), post('list of those that are ready', '/v2/repository/index', { ready: true }),
  bare('unloading', '/v2/repository/models/adder/unload'), post('of an unloaded model', '/v2/models/adder/infer', { inputs: [fp32('a', [1, 2]), fp32('b', [3, 4])] }), get('ready after that', '/v2/health/ready'), post('list after that', '/v2/repository/index', {}),
  bare('loading', '/v2/repository/models/adder/load'), bare('loading an unknown model', '/v2/repository/models/nope/load'),
]

const chat = (name: string, more: object, options: Partial<Case> = {}): Case =>
  post(name, '/v1/chat/completions', { model: 'tiny', messages: [{ role: 'system', content: 'be brief' }, { role: 'user', content: 'hello the cat' }], max_tokens: 4, seed: 1, ...more }, options)
const long = [{ role: 'user', content: 'the cat '.repeat(5000) }]
const schema = { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'], additionalProperties: false }

export const llama: readonly Case[] = [
  get('health', '/health'), get('models', '/v1/models'), get('slots', '/slots', { varies: true }), get('metrics', '/metrics'), get('no path of the API', '/v1/nope'),
  chat('chat', { max_tokens: 8 }), chat('stream', { stream: true }), chat('stream with usage', { stream: true, stream_options: { include_usage: true } }), chat('four texts to stop at', { max_tokens: 40, stop: ['cat', 'the', 'dog', 'moon'] }),
  chat('two answers', { n: 2 }), chat('logprobs', { logprobs: true, top_logprobs: 2 }), chat('a schema', { max_tokens: 40, response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }),
  chat('tools', { max_tokens: 40, tool_choice: 'required', tools: [{ type: 'function', function: { name: 'f', parameters: schema } }] }), chat('an unknown model', { model: 'nope', max_tokens: 2 }),
  post('no JSON', '/v1/chat/completions', '{"model":'), post('no messages', '/v1/chat/completions', { model: 'tiny' }), chat('a number in text', { max_tokens: 'x' }), chat('more than fits', { messages: long }), chat('more than fits, as a stream', { messages: long, stream: true }),
  post('completion', '/v1/completions', { model: 'tiny', prompt: 'the cat', max_tokens: 5 }), post('completion as a stream', '/v1/completions', { model: 'tiny', prompt: 'the cat', max_tokens: 3, stream: true, stream_options: { include_usage: true } }),
  post('embeddings that the server does not give', '/v1/embeddings', { model: 'tiny', input: 'the cat' }), post('responses', '/v1/responses', { model: 'tiny', input: 'the cat', max_output_tokens: 4 }), post('tokens', '/tokenize', { content: 'the cat' }),
  { name: 'preflight', method: 'OPTIONS', path: '/v1/chat/completions', headers: { origin: 'http://x', 'access-control-request-method': 'POST' } },
  chat('a key', { max_tokens: 2 }, { headers: { ...json, authorization: 'Bearer sk-test' } }),
]

/** Of gRPC: a method and its messages, in the JSON that grpcurl takes. `deadline`: seconds. */
export type Call = Readonly<{ name: string; method: string; messages: readonly object[]; deadline?: number }>

const infer = (name: string, model: string, inputs: readonly object[], more: object = {}): Call => ({ name, method: 'ModelInfer', messages: [{ model_name: model, inputs, ...more }] })
const typed = (name: string, numbers: readonly number[], datatype = 'FP32') =>
  ({ name, datatype, shape: [numbers.length], contents: datatype === 'FP32' ? { fp32_contents: numbers } : { int_contents: numbers } })
const bytes = (name: string, shape: readonly number[], value: string) => ({ name, datatype: 'BYTES', shape, contents: { bytes_contents: [Buffer.from(value).toString('base64')] } })
const pair = [typed('A', [1, 2]), typed('B', [3, 4])]
const raw = ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [1] }))
const stream = (name: string, model: string): Call =>
  ({ name, method: 'ModelStreamInfer', messages: [{ model_name: model, id: 's1', inputs: [bytes('text_input', [1], 'one two three'), { name: 'stream', datatype: 'BOOL', shape: [1], contents: { bool_contents: [true] } }] }] })

const about = (model: string): readonly Call[] => [
  { name: 'live', method: 'ServerLive', messages: [{}] }, { name: 'ready', method: 'ServerReady', messages: [{}] }, { name: 'server metadata', method: 'ServerMetadata', messages: [{}] },
  { name: 'ready model', method: 'ModelReady', messages: [{ name: model }] }, { name: 'unknown model', method: 'ModelReady', messages: [{ name: 'nope' }] },
  { name: 'metadata of a model', method: 'ModelMetadata', messages: [{ name: model }] }, { name: 'metadata of an unknown model', method: 'ModelMetadata', messages: [{ name: 'nope' }] },
  { name: 'list of models', method: 'RepositoryIndex', messages: [{}] },
]

export const tritonGrpc: readonly Call[] = [
  ...about('add'),
  infer('inference', 'add', pair), infer('of version 1', 'add', pair, { model_version: '1' }), infer('of version 2', 'add', pair, { model_version: '2' }), infer('of version 9', 'add', pair, { model_version: '9' }),
  infer('raw contents', 'add', raw, { raw_input_contents: ['AACAPw==', 'AAAAQA=='] }), infer('of an unknown model', 'nope', pair), infer('no inputs', 'add', []),
  infer('a wrong datatype', 'add', [typed('A', [1], 'INT32'), typed('B', [1])]), infer('an error of the model', 'echo', [bytes('IN', [1, 1], 'fail')]),
  { ...infer('a deadline that passes', 'echo', [bytes('IN', [1, 1], 'sleep')]), deadline: 1 }, infer('inference of a model that streams', 'text', [bytes('text_input', [1], 'a b')]),
  stream('stream', 'text'), stream('stream of an unknown model', 'nope'),
]

const flower = [{ name: 'input-0', datatype: 'FP32', shape: [1, 4], contents: { fp32_contents: [5.1, 3.5, 1.4, 0.2] } }]

export const mlserverGrpc: readonly Call[] = [
  ...about('iris'), infer('of version 1', 'iris', flower, { model_version: 'v1' }), infer('of version 2', 'iris', flower, { model_version: 'v2' }), infer('of version 9', 'iris', flower, { model_version: 'v9' }),
  infer('of an unknown model', 'nope', flower), infer('no inputs', 'iris', []), infer('an error of the model', 'adder', [typed('a', [1])]),
  { name: 'stream', method: 'ModelStreamInfer', messages: [{ model_name: 'lm', id: 's1', inputs: [bytes('prompt', [1], 'one two three')] }] },
  { name: 'stream of an unknown model', method: 'ModelStreamInfer', messages: [{ model_name: 'nope', id: 's1', inputs: [bytes('prompt', [1], 'one')] }] },
]

export const kserveGrpc: readonly Call[] = [
  ...about('add'), infer('inference', 'add', pair), infer('of a version', 'add', pair, { model_version: '1' }), infer('of a model that is not ready', 'cold', pair), infer('of an unknown model', 'nope', pair),
  infer('a wrong shape', 'add', [typed('A', [1]), typed('B', [1, 2, 3])]), infer('no inputs', 'add', []), infer('an error of the model', 'fail', pair),
]

import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { createServer, type ServerHttp2Stream } from 'node:http2'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { MessageWriter } from '../../dataplane/protocols/protobuf.ts'
import type { Rule } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'
import { bodyOf } from './tries/rig.ts'

type Info = { name: string; datatype: string; shape: number[] }
type Model = { inputs: Info[]; outputs: Info[]; optional?: string[]; metadata?: unknown }

const model = (): Model => ({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }, { name: 'label', datatype: 'BYTES', shape: [-1, 1] }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }],
})
const byModel = { source: 'ModelMetadata' } as const
const json = { 'content-type': 'application/json' }

/** A server of V2 with one model, asked through a rule; what it was asked. */
async function serving(t: TestContext, more: Partial<Rule> = {}, answer = '{"model_name":"m","outputs":[]}') {
  const asked: string[] = []
  const server: { model: Model | undefined } = { model: model() }
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then(() => {
      const { url = '' } = request
      asked.push(url)
      const { model } = server
      if (url.endsWith(':predict')) response.writeHead(200, json).end('{"predictions":[[0.5,0.5]]}')
      else if (url.endsWith('/infer')) response.writeHead(200, json).end(answer)
      else if (url.endsWith('/config')) response.writeHead(model?.optional === undefined ? 404 : 200, json).end(JSON.stringify({ input: model?.optional?.map((name) => ({ name, optional: true })) }))
      else response.writeHead(model === undefined ? 404 : 200, json).end(JSON.stringify(model === undefined ? { error: 'unknown model' } : { name: 'm', versions: ['1'], platform: 'p', ...model }))
    }, () => {})
  })
  const rules = [rule({ validation: { request: byModel }, variants: [variant('stable', 'ml/s:80', { protocol: 'V2' })], ...more })]
  const proxy = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [port] }))
  const ask = async (body: unknown, headers: Record<string, string> = {}, path = '/v2/models/m/infer') => {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
    const got = await fetch(`${proxy.url}${path}`, { method: 'POST', headers, body: new Uint8Array(bytes) })
    const text = await got.text()
    return { status: got.status, code: got.headers.get('x-modelroute-error'), text, faults: (/does not fit: (.*)"\}$/.exec(text)?.[1] ?? '').replaceAll('\\"', '"') }
  }
  return { asked, server, ask, proxy, infers: () => asked.filter((url) => url.endsWith('/infer')).length }
}

const x = { name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3.5, 4] }
const label = { name: 'label', datatype: 'BYTES', shape: [1, 1], data: ['a'] }

test('a request of V2 is held to what the model takes, with the place of each fault, and the model never sees it', { timeout: 120_000 }, async (t) => {
  const { ask, infers, asked } = await serving(t)
  assert.equal((await ask({ inputs: [x, label] })).status, 200)
  const wrong: readonly [inputs: unknown, faults: string][] = [
    [[{ ...x, name: 'z' }, x, label], '/inputs/0/name is no input of the model'],
    [[{ ...x, datatype: 'FP64' }, label], '/inputs/0/datatype must be FP32'],
    [[{ ...x, shape: [2, 2] }, label], '/inputs/0/shape/1 must be 4'],
    [[{ ...x, shape: [4] }, label], '/inputs/0/shape must have 2 dimensions, as [-1,4]'],
    [[label], '/inputs has no "x"'],
    [[x, { ...x, data: [1] }, label], '/inputs/1/name is there twice; /inputs/1/data must have 4 elements'],
    [[{ ...x, data: ['a', 'b', 'c', 'd'] }, label], '/inputs/0/data must be numbers'],
    [[{ ...x, data: [[1, 2], [3]] }, label], '/inputs/0/data must be values of one kind, in lists of one length'],
    [[{ ...x, data: undefined, shape: ['a'] }, 3, { ...label, datatype: 3 }], '/inputs/0/shape must be a list of whole numbers; /inputs/0/data is missing; /inputs/1 must be an object; /inputs/2/datatype is missing'],
  ]
  for (const [inputs, faults] of wrong) {
    const refused = await ask({ inputs })
    assert.deepEqual([refused.status, refused.code, refused.faults], [422, 'schema_mismatch', faults])
  }
  assert.equal((await ask({ outputs: [] })).faults, '/inputs is missing')
  assert.equal((await ask({ inputs: [x, label], outputs: [{ name: 'y' }, { name: 'z' }] })).faults, '/outputs/1/name is no output of the model')
  assert.equal((await ask(Buffer.from('{"inputs":['))).status, 400)
  assert.equal((await ask(Buffer.from(JSON.stringify({ inputs: [x, label] }).replace('"shape"', '"name":"x","shape"')))).status, 400)
  assert.equal(infers(), 1)
  // The batch is of any size, and lists may be nested as the tensor is.
  assert.equal((await ask({ inputs: [{ ...x, shape: [2, 4], data: [[1, 2, 3, 4], [5, 6, 7, 8]] }, { ...label, shape: [2, 1], data: ['a', 'b'] }] })).status, 200)
  assert.ok(asked.filter((url) => url === '/v2/models/m').length <= 2, asked.join())
})

test('binary tensors are held to their sizes', { timeout: 120_000 }, async (t) => {
  const { ask } = await serving(t)
  const binary = (size: number, bytes: number, length?: number) => {
    const head = Buffer.from(JSON.stringify({ inputs: [{ ...x, data: undefined, parameters: { binary_data_size: size } }, label] }))
    return ask(Buffer.concat([head, Buffer.alloc(bytes)]), { 'inference-header-content-length': String(length ?? head.length) })
  }
  assert.equal((await binary(16, 16)).status, 200)
  assert.equal((await binary(12, 12)).faults, '/inputs/0/parameters/binary_data_size must be 16')
  assert.equal((await binary(16, 20)).faults, 'the whole says that 16 bytes come after its JSON, and there are 20')
  assert.equal((await binary(16, 16, 0)).status, 400)
})

test('what a model says is asked once for all, and asked again before anything is refused', { timeout: 120_000 }, async (t) => {
  const { ask, asked, server } = await serving(t)
  const questions = () => asked.filter((url) => url === '/v2/models/m').length
  const all = await Promise.all(Array.from({ length: 20 }, () => ask({ inputs: [x, label] })))
  assert.deepEqual([all.every(({ status }) => status === 200), questions()], [true, 1])
  // Another version came: as soon as what the last one said is a second old, its requests are not refused for that.
  server.model = { ...model(), inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }] }
  let status = 0
  for (let tries = 0; status !== 200; tries++) {
    status = (await ask({ inputs: [x] })).status
    // Each of those before was held to what is known: nobody was asked for it.
    if (status !== 200) assert.deepEqual([status, questions()], [422, 1], String(tries))
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
  assert.equal(questions(), 2)
  const refused = await Promise.all(Array.from({ length: 20 }, () => ask({ inputs: [x, label] })))
  // They came within a second of the last question, or asked one for all of that second.
  assert.deepEqual([refused.every(({ status }) => status === 422), questions() < 20], [true, true])
})

test('inputs that the model can do without need not be there', { timeout: 120_000 }, async (t) => {
  const { ask, server, infers } = await serving(t)
  server.model = { ...model(), optional: ['label'] }
  assert.equal((await ask({ inputs: [x] })).status, 200)
  assert.equal((await ask({ inputs: [label] })).faults, '/inputs has no "x"')
  assert.equal(infers(), 1)
})

test('what nobody can be asked about is not let through', { timeout: 120_000 }, async (t) => {
  const { ask, server, infers, proxy } = await serving(t)
  server.model = undefined
  assert.deepEqual([(await ask({ inputs: [x] })).code, (await ask({ inputs: [x] })).status], ['model_not_found', 404])
  await eventually(() => proxy.lines().length === 2)
  assert.equal(proxy.lines()[0]?.['cause'], 'unknown model')
  const gone = await testProxy(t, active('1', [route({ rules: [rule({ validation: { request: byModel } })] })], { 'ml/s:80': [] }))
  const got = await fetch(`${gone.url}/v2/models/m/infer`, { method: 'POST', body: '{"inputs":[]}' })
  assert.equal(got.status, 503)
  assert.equal(infers(), 0)
})

test('a model that says nothing of its inputs takes any, and other requests are nothing that it describes', { timeout: 120_000 }, async (t) => {
  const { ask, server, proxy } = await serving(t)
  server.model = { inputs: [], outputs: [] }
  assert.equal((await ask({ inputs: [x] })).status, 200)
  assert.equal((await fetch(`${proxy.url}/v2/models/m`)).status, 200)
  const text = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  assert.match(text, /modelroute_validations_total\{route="ml\/fraud",rule="infer",side="request",result="unchecked"\} 1/)
})

test('rows of V1 are held to the tensors that they become', { timeout: 120_000 }, async (t) => {
  const { ask, server } = await serving(t, { variants: [variant('stable', 'ml/s:80')], validation: { request: byModel } })
  const path = '/v1/models/m:predict'
  // A server of V1 that says what it takes, as TensorFlow Serving does.
  const inputs = { x: { dtype: 'DT_FLOAT', tensor_shape: { dim: [{ size: '-1' }, { size: '2' }] } }, n: { dtype: 'DT_INT64', tensor_shape: { dim: [{ size: '-1' }] } } }
  server.model = { ...model(), metadata: { signature_def: { signature_def: { serving_default: { inputs, outputs: {} } } } } }
  const wrong: readonly [body: unknown, faults: string][] = [
    [{ instances: [{ x: [1, 2], n: 1 }, { x: [1], n: 1.5, z: 1 }] }, '/instances/1/x must have the shape [2]; /instances/1/n must be whole numbers; /instances/1/z is no input of the model'],
    [{ instances: [{ x: [1, 2] }, 3] }, '/instances/0 has no "n"; /instances/1 must be an object, as the first one is'],
    [{ instances: [[1, 2]] }, '/instances must name the 2 inputs of the model'],
    [{ instances: 3 }, '/instances must be a list'],
    [{ inputs: { x: [[1, 2]], n: ['a'] } }, '/inputs/n must be whole numbers'],
    [{}, '/instances is missing'],
  ]
  for (const [body, faults] of wrong) assert.deepEqual([(await ask(body, {}, path)).faults, body], [faults, body])
  for (const body of [{ instances: [{ x: [1, 2], n: 1 }] }, { inputs: { x: [[1, 2], [3, 4]], n: [1, 2] } }]) assert.equal((await ask(body, {}, path)).status, 200)
})

test('an answer is held to what the model gives', { timeout: 120_000 }, async (t) => {
  const outputs = [{ name: 'y', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] }]
  const wrong = JSON.stringify({ model_name: 'm', outputs })
  const refused = await serving(t, { validation: { response: { ...byModel, reject: true } } }, wrong)
  assert.deepEqual([(await refused.ask({ inputs: [x, label] })).code], ['response_schema_mismatch'])
  await eventually(() => refused.proxy.lines().length === 1)
  assert.equal(refused.proxy.lines()[0]?.['cause'], '/outputs/0/shape/1')
  const reported = await serving(t, { validation: { response: byModel } }, wrong)
  assert.equal((await reported.ask({ inputs: [x, label] })).text, wrong)
  await eventually(() => reported.proxy.lines().length === 1)
  assert.equal(reported.proxy.lines()[0]?.['response_mismatch'], '/outputs/0/shape/1')
  const good = await serving(t, { validation: { response: { ...byModel, reject: true } } }, wrong.replace('[1,3]', '[1,2]').replace('[1,2,3]', '[1,2]'))
  assert.equal((await good.ask({ inputs: [x, label] })).status, 200)
})

const framed = (message: Buffer) => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}
const described = (field: number, { name, datatype, shape }: Info, to: MessageWriter) => {
  const tensor = new MessageWriter().text(1, name).text(2, datatype)
  for (const length of shape) tensor.number(3, BigInt(length))
  to.message(field, tensor)
}
const bytes = (writer: MessageWriter) => Buffer.concat(writer.parts)

test('a message of gRPC is held to what the model takes, and to the lengths of its contents', { timeout: 120_000 }, async (t) => {
  const asked: string[] = []
  const server = createServer()
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {})
    asked.push(String(headers[':path']).split('/')[2] ?? '')
    const answer = new MessageWriter()
    if (asked.at(-1) === 'ModelMetadata') {
      answer.text(1, 'm')
      for (const input of model().inputs) described(4, input, answer)
      for (const output of model().outputs) described(5, output, answer)
    } else answer.text(1, 'm')
    const failed = asked.at(-1) === 'ModelConfig'
    stream.resume()
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': failed ? '12' : '0' }))
      stream.end(failed ? undefined : framed(bytes(answer)))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ validation: { request: byModel, response: { ...byModel, reject: true } } })] })], { 'ml/s:80': [typeof address === 'object' ? address?.port ?? 0 : 0] }))
  const call = (message: Buffer) => new Promise<unknown>((resolve, reject) => {
    const sent = httpRequest(`${proxy.url}/inference.GRPCInferenceService/ModelInfer`, { method: 'POST', headers: { 'content-type': 'application/grpc', te: 'trailers' } })
    sent.on('error', reject)
    sent.on('response', (response) => {
      response.resume()
      response.on('close', () => resolve(response.headers['grpc-status'] === undefined ? response.trailers['grpc-status'] : [response.headers['grpc-status'], response.headers['grpc-message']]))
    })
    sent.end(framed(message))
  })
  const infer = (inputs: readonly (Info & { contents?: MessageWriter })[], raw: readonly number[] = []) => {
    const message = new MessageWriter().text(1, 'm')
    for (const { contents, ...info } of inputs) {
      const tensor = new MessageWriter().text(1, info.name).text(2, info.datatype)
      for (const length of info.shape) tensor.number(3, length)
      if (contents !== undefined) tensor.message(5, contents)
      message.message(5, tensor)
    }
    for (const length of raw) message.bytes(7, Buffer.alloc(length))
    return bytes(message)
  }
  const [first, second] = [{ name: 'x', datatype: 'FP32', shape: [1, 4] }, { name: 'label', datatype: 'BYTES', shape: [1, 1] }]
  const fp32 = (count: number) => new MessageWriter().bytes(6, Buffer.alloc(4 * count))
  const text = new MessageWriter().text(8, 'a')
  assert.equal(await call(infer([first, second], [16, 5])), '0')
  assert.equal(await call(infer([{ ...first, contents: fp32(4) }, { ...second, contents: text }])), '0')
  const wrong: readonly [message: Buffer, faults: string][] = [
    [infer([first, second], [12, 5]), '/raw_input_contents/0 must have 16 bytes'],
    [infer([{ ...first, contents: fp32(3) }, { ...second, contents: text }]), '/inputs/0/contents must have 4 elements'],
    [infer([{ ...first, contents: text }, { ...second, contents: text }]), '/inputs/0/contents must be those of FP32'],
    [infer([{ ...first, shape: [4] }, second], [16, 5]), '/inputs/0/shape must have 2 dimensions, as [-1,4]'],
    [infer([{ ...first, datatype: 'INT32' }, second], [16, 5]), '/inputs/0/datatype must be FP32'],
    [infer([second, { ...first, name: 'z' }], [5, 16]), '/inputs/1/name is no input of the model; /inputs has no "x"'],
  ]
  for (const [message, faults] of wrong) assert.deepEqual(await call(message), ['3', `The body of the request does not fit: ${faults.replaceAll('"', '%22')}`])
  assert.equal(asked.filter((name) => name === 'ModelInfer').length, 2)
})

test('what does not fit waits for nobody, and spoils no batch', { timeout: 120_000 }, async (t) => {
  const { ask, infers } = await serving(t, { batching: { maxSize: 2, maxDelay: 5000, scope: 'Tenant' } }, JSON.stringify({ model_name: 'm', outputs: [{ name: 'y', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] }] }))
  const all = await Promise.all([{ inputs: [x, label] }, { inputs: [{ ...x, datatype: 'FP64' }, label] }, { inputs: [x, label] }].map((body) => ask(body)))
  assert.deepEqual([all.map(({ status }) => status), infers()], [[200, 422, 200], 1])
})

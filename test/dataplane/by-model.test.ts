import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http2'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import * as grpc from '@grpc/grpc-js'
import { framed } from '../../dataplane/protocols/grpc_frames.ts'
import { MessageWriter } from '../../dataplane/protocols/protobuf.ts'
import type { Match, Rule } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

/** A proxy with a backend for each rule, which says its name and the size of what it got. */
async function gateway(t: TestContext, rules: Readonly<Record<string, readonly Match[]>>, more: Partial<Rule> = {}) {
  const sets: Record<string, number[]> = {}
  for (const name of Object.keys(rules)) {
    sets[name] = [await httpUpstream(t, (request, response) => {
      let size = 0
      request.on('data', (chunk: Buffer) => { size += chunk.length })
      request.on('end', () => response.end(`${name} ${size}`))
    })]
  }
  const all = Object.entries(rules).map(([name, matches]) => rule({ name, matches, variants: [variant('v', name)], ...more }))
  return testProxy(t, active('1', [route({ rules: all })], sets))
}

type Body = string | Buffer | FormData | ReadableStream

async function ask(url: string, body: Body, headers: Record<string, string> = {}): Promise<string> {
  const answer = await fetch(url, { method: 'POST', body, headers, ...(body instanceof ReadableStream && { duplex: 'half' }) })
  const text = await answer.text()
  return answer.headers.get('x-modelroute-error') ?? text
}

const llama = match('/v1', { model: { name: 'llama' } })
const mistral = match('/v1', { model: { type: 'Prefix', name: 'mistral-' } })

test('many models behind one address: the one that the body names decides, and the body arrives whole', async (t) => {
  const { url } = await gateway(t, { llama: [llama], mistral: [mistral], regex: [match('/v1', { model: { type: 'Regex', name: 'gpt-\\d+' } })], rest: [match('/')] })
  const chat = (body: unknown) => ask(`${url}/v1/chat/completions`, JSON.stringify(body))
  assert.equal(await chat({ model: 'llama' }), 'llama 17')
  assert.equal(await chat({ messages: [{ content: 'x'.repeat(300_000) }], model: 'mistral-7b' }), 'mistral 300050')
  assert.equal(await chat({ model: 'gpt-4', messages: 'y'.repeat(3_000_000) }), 'regex 3000031')
  assert.equal(await chat({ model: 'gpt-4o' }), 'rest 18')
  assert.equal(await ask(`${url}/v2/models/llama/infer`, '{}'), 'rest 2', 'another path is none of theirs')
  const form = new FormData()
  form.append('file', new Blob(['z'.repeat(200_000)]))
  form.append('model', 'llama')
  assert.match(await ask(`${url}/v1/audio/transcriptions`, form), /^llama 200\d\d\d$/)
  for (const [coding, bytes] of [['gzip', gzipSync('{"model":"llama"}')], ['deflate', deflateSync('{"model":"llama"}')]] as const) {
    assert.equal(await ask(`${url}/v1/embeddings`, bytes, { 'content-encoding': coding }), `llama ${bytes.length}`)
  }
})

test('a body that could be read in two ways is refused, also where that comes out late', async (t) => {
  const { url } = await gateway(t, { llama: [llama], rest: [match('/')] })
  const chat = (body: string) => ask(`${url}/v1/chat/completions`, body)
  for (const body of ['{"model":"llama","model":"x"}', '{"x":1', 'model=llama', '{"Model":"a","model":"llama"}']) {
    assert.equal(await chat(body), 'invalid_request', body)
  }
  assert.equal(await chat(`{"model":"llama","messages":"${'x'.repeat(30_000)}","model":"other"}`), 'invalid_request')
  const late = `{"model":"llama","messages":"${'x'.repeat(3_000_000)}","model":"other"}`
  assert.equal(await chat(late), 'invalid_request')
  assert.equal(await ask(`${url}/v1/chat/completions`, '{"model":"llama"}', { 'seldon-model': 'other' }), 'invalid_request', 'a header says something else')
})

test('values of the body decide by their pointers; what is no JSON has none', async (t) => {
  const body = (value: Partial<Match>) => match('/v2', value)
  const { url } = await gateway(t, {
    eu: [body({ body: [{ pointer: '/parameters/region', type: 'Exact', value: 'eu' }] })],
    two: [body({ body: [{ pointer: '/n', type: 'Regex', value: '[0-9]+' }, { pointer: '/flag', type: 'Exact', value: 'true' }] })],
    there: [body({ body: [{ pointer: '/inputs/0', type: 'Present' }] })],
    rest: [match('/')],
  })
  const infer = (given: string | Buffer, headers = {}) => ask(`${url}/v2/models/m/infer`, given, headers)
  assert.equal(await infer('{"parameters":{"region":"eu"},"inputs":[{}]}'), 'eu 44')
  assert.equal(await infer('{"parameters":{"region":"eu2"},"inputs":[]}'), 'rest 43')
  assert.equal(await infer('{"inputs":[1],"flag":true,"n":12}'), 'two 33', 'two are more than one')
  assert.equal(await infer('{"inputs":[[]]}'), 'there 15')
  for (const plain of ['', 'hello', '"eu"']) assert.equal(await infer(plain), `rest ${plain.length}`)
  const header = '{"parameters":{"region":"eu"}}'
  assert.equal(await infer(Buffer.concat([Buffer.from(header), Buffer.from([0xff, 0, 0x7b])]), { 'inference-header-content-length': String(header.length) }), 'eu 33')
})

test('no more is read than it takes: the answer to a large upload may come before it is over', async (t) => {
  const { url } = await gateway(t, { llama: [llama] }, { sizeLimits: { request: 1_000_000 } })
  assert.equal(await ask(`${url}/v1/chat/completions`, `{"model":"llama","x":"${'x'.repeat(2_000_000)}"}`), 'request_too_large')
  // The model comes in the first bytes of a body of which nothing more ever comes: its rule is known by them.
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 999999\r\n\r\n{"model":"nobody",')
  const [head] = await once(socket, 'data') as [Buffer]
  assert.match(head.toString(), /^HTTP\/1.1 404 /)
})

test('a rule that comes first anyway does not wait for the body', async (t) => {
  const { url } = await gateway(t, { method: [match('/v1', { method: 'POST', headers: [{ name: 'x-a', type: 'Present' }] })], llama: [llama] })
  assert.equal(await ask(`${url}/v1/chat/completions`, 'no JSON at all', { 'x-a': '1' }), 'method 14')
})

const message = (name: string, version = '') => {
  const writer = new MessageWriter().text(1, name)
  if (version !== '') writer.text(2, version)
  return writer.bytes(5, Buffer.alloc(100_000)).whole()
}

async function grpcGateway(t: TestContext) {
  const sets: Record<string, number[]> = {}
  const all: Rule[] = []
  for (const [name, model] of [['v2', { name: 'fraud', version: '2' }], ['any', { name: 'fraud' }]] as const) {
    const server = createServer()
    server.on('stream', (stream) => {
      let size = 0
      stream.on('error', () => {})
      stream.on('data', (chunk: Buffer) => { size += chunk.length })
      stream.on('end', () => {
        if (stream.destroyed || stream.aborted) return
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
        stream.end(framed(Buffer.from(`${name} ${size}`)))
      })
    })
    server.on('session', (session) => t.after(() => session.destroy()))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    t.after(() => server.close())
    const address = server.address()
    sets[name] = [typeof address === 'object' ? address?.port ?? 0 : 0]
    all.push(rule({ name, matches: [match('/', { model })], variants: [variant('v', name)] }))
  }
  const { url } = await testProxy(t, active('1', [route({ rules: all })], sets))
  const client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure())
  t.after(() => client.close())
  return client
}

const same = (bytes: Buffer) => bytes

test('a call of gRPC goes by the model of its message, compressed or not', async (t) => {
  const client = await grpcGateway(t)
  const call = (given: Buffer) => new Promise<string>((resolve) => {
    client.makeUnaryRequest('/inference.GRPCInferenceService/ModelInfer', same, same, given, (error, answer) => resolve(error ? `${error.code}` : String(answer)))
  })
  assert.equal(await call(message('fraud', '2')), 'v2 100019')
  assert.equal(await call(new MessageWriter().text(1, 'fraud').whole()), 'any 12', 'its end comes with its first bytes')
  assert.equal(await call(message('fraud', '1')), 'any 100019')
  assert.equal(await call(message('other')), '12', 'unimplemented: no route')
  assert.equal(await call(Buffer.concat([message('fraud'), new MessageWriter().text(1, 'other').whole()])), '3', 'a name that comes again is refused')
  const compressed = new grpc.Client(client.getChannel().getTarget().replace(/^dns:/, ''), grpc.credentials.createInsecure(), { 'grpc.default_compression_algorithm': 2 })
  t.after(() => compressed.close())
  const answer = await new Promise<string>((resolve) => {
    compressed.makeUnaryRequest('/inference.GRPCInferenceService/ModelInfer', same, same, message('fraud', '2'), (error, given) => resolve(error ? `${error.code} ${error.message}` : String(given)))
  })
  assert.match(answer, /^v2 \d{2,4}$/)
})

test('a stream of gRPC goes by its first message, and may name no other model after it', async (t) => {
  const client = await grpcGateway(t)
  const stream = async (...given: Buffer[]) => {
    const call = client.makeClientStreamRequest('/inference.GRPCInferenceService/ModelStreamInfer', same, same, () => {})
    const ended = new Promise<number>((resolve) => call.on('status', (status: grpc.StatusObject) => resolve(status.code)))
    for (const one of given) call.write(one)
    call.end()
    return ended
  }
  assert.equal(await stream(message('fraud', '2'), message('fraud', '2')), 0)
  assert.equal(await stream(message('fraud', '2'), message('fraud', '1')), 3)
})

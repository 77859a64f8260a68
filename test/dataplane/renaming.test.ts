import assert from 'node:assert/strict'
import type { IncomingHttpHeaders } from 'node:http'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import * as grpc from '@grpc/grpc-js'
import { FieldReader, MessageWriter } from '../../dataplane/protocols/protobuf.ts'
import type { Rule, Variant } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

type Seen = { path: string; headers: IncomingHttpHeaders; body: string }

/** A proxy with one backend behind all of its variants, which keeps what it gets. */
async function gateway(t: TestContext, variants: readonly Variant[], more: Partial<Rule> = {}) {
  const seen: Seen[] = []
  const port = await httpUpstream(t, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      seen.push({ path: request.url ?? '', headers: request.headers, body: Buffer.concat(pieces).toString('latin1') })
      response.end('ok')
    })
  })
  const { url } = await testProxy(t, active('1', [route({ rules: [rule({ matches: [match('/')], variants, ...more })] })], { a: [port], none: [] }))
  async function ask(path: string, body: RequestInit['body'], headers: Record<string, string> = {}) {
    seen.length = 0
    const answer = await fetch(url + path, { method: 'POST', body: body ?? null, headers, ...(body instanceof ReadableStream && { duplex: 'half' }) })
    return `${answer.status} ${answer.headers.get('x-modelroute-error') ?? await answer.text()}`
  }
  return { url, seen, ask }
}

const form = (model: string | undefined, file: number, first = false) => {
  const fields = new FormData()
  if (model !== undefined && first) fields.append('model', model)
  fields.append('file', new Blob(['z'.repeat(file)]), 'speech.wav')
  if (model !== undefined && !first) fields.append('model', model)
  fields.append('language', 'de')
  return fields
}

const read = ({ headers, body }: Seen) => new Response(Buffer.from(body, 'latin1'), { headers: { 'content-type': headers['content-type'] ?? '' } }).formData()

test('a form names the model as the backend knows it, whatever stands before that and however it comes', async (t) => {
  const { seen, ask } = await gateway(t, [variant('v', 'a', { model: { name: 'whisper-large-v3' } })])
  for (const [model, file, first] of [['whisper-1', 100, false], ['whisper-1', 300_000, true], ['whisper-1', 300_000, false], [undefined, 100, false], [undefined, 300_000, false], ['', 300_000, false]] as const) {
    for (const chunked of [false, true]) {
      const whole = new Request('http://x', { method: 'POST', body: form(model, file, first) })
      const type = { 'content-type': whole.headers.get('content-type') ?? '' }
      const bytes = Buffer.from(await whole.arrayBuffer())
      const body = chunked ? new ReadableStream({ start(to) { to.enqueue(bytes); to.close() } }) : bytes
      assert.equal(await ask('/v1/audio/transcriptions', body, type), '200 ok')
      const [got] = seen
      assert.ok(got)
      if (!chunked) assert.equal(got.headers['content-length'], String(got.body.length))
      const fields = await read(got)
      assert.deepEqual(fields.getAll('model'), ['whisper-large-v3'])
      assert.equal(fields.get('language'), 'de')
      const sent = fields.get('file')
      assert.ok(sent instanceof Blob && sent.size === file)
    }
  }
  const packed = await new Request('http://x', { method: 'POST', body: 'a' }).arrayBuffer()
  assert.match(await ask('/v1/audio/speech', Buffer.from(packed), { 'content-type': 'multipart/form-data; boundary=x' }), /^400 invalid_request/)
})

test('large JSON is changed on its way, wherever it names the model; what comes too late for that breaks it off', async (t) => {
  const { seen, ask } = await gateway(t, [variant('v', 'a', { model: { name: 'llama' } })])
  const input = `"input":"${'x'.repeat(300_000)}"`
  for (const [sent, wanted] of [
    [`{"model" : "gpt",${input}}`, `{"model" : "llama",${input}}`], [`{${input}, "model":"gpt" }`, `{${input}, "model":"llama" }`],
    [`{"model":null,${input}}`, `{"model":"llama",${input}}`], [` {${input}}`, ` {"model":"llama",${input}}`], [`{"a":{"model":"x"},"model":"gpt",${input}}`, `{"a":{"model":"x"},"model":"llama",${input}}`],
  ] as const) {
    for (const body of [sent, new ReadableStream({ start(to) { to.enqueue(Buffer.from(sent)); to.close() } })]) {
      assert.equal(await ask('/v1/embeddings', body), '200 ok')
      assert.ok(seen[0]?.body === wanted, seen[0]?.body.slice(0, 100))
      if (typeof body === 'string') assert.equal(seen[0]?.headers['content-length'], String(wanted.length))
    }
  }
  assert.match(await ask('/v1/embeddings', `{"model":"gpt",${input},"model":"other"}`), /^400 invalid_request/)
  assert.deepEqual(seen, [], 'half a body is none')
})

test('packed JSON is unpacked to be changed, and a version that nobody there can be asked for is refused', async (t) => {
  const { seen, ask } = await gateway(t, [variant('v', 'a', { model: { name: 'llama' } })])
  assert.equal(await ask('/v1/chat/completions', gzipSync('{"model":"gpt", "n":1}'), { 'content-encoding': 'gzip' }), '200 ok')
  assert.deepEqual([seen[0]?.body, seen[0]?.headers['content-encoding']], ['{"model":"llama", "n":1}', undefined])
  assert.equal(await ask('/v1/chat/completions', 'no gzip', { 'content-encoding': 'gzip' }), '422 unsupported_translation')
  const versioned = await gateway(t, [variant('v', 'a', { model: { version: '2' } })])
  for (const path of ['/v1/chat/completions', '/v1/models/m:predict']) assert.equal(await versioned.ask(path, '{}'), '422 unsupported_translation', path)
  assert.equal(await versioned.ask('/anything', '{}', { 'seldon-model': 'm' }), '422 unsupported_translation')
  assert.equal(await versioned.ask('/v1/models/m/versions/1:predict', '{}'), '200 ok')
  assert.equal(versioned.seen[0]?.path, '/v1/models/m/versions/2:predict')
})

test('the headers by which Seldon and ModelMesh choose the model are renamed with the path', async (t) => {
  const { seen, ask } = await gateway(t, [variant('v', 'a', { model: { name: 'real' } })])
  await ask('/v2/models/virtual/infer', '{}', { 'seldon-model': 'virtual', 'mm-model-id': 'virtual', 'mm-vmodel-id': 'virtual' })
  const [got] = seen
  assert.deepEqual([got?.path, got?.headers['seldon-model'], got?.headers['mm-model-id'], got?.headers['mm-vmodel-id']], ['/v2/models/real/infer', 'real', 'real', 'real'])
  await ask('/v2/pipelines/virtual', '{}', { 'seldon-model': 'virtual.pipeline' })
  assert.equal(seen[0]?.headers['seldon-model'], 'real.pipeline')
  const { ask: other } = await gateway(t, [variant('v', 'a', { model: { name: 'größe' } })])
  assert.equal(await other('/v2/models/virtual/infer', '{}', { 'seldon-model': 'virtual' }), '422 unsupported_translation')
  assert.equal(await other('/v2/models/virtual/infer', '{}'), '200 ok')
})

const service = '/inference.GRPCInferenceService/'
const same = (bytes: Buffer) => bytes

type Call = { method: string; messages: { name: string; version: string; rest: number }[]; header: string }

/** A server of gRPC's own library, which keeps what each message names. */
async function grpcServer(t: TestContext, fails = false) {
  const calls: Call[] = []
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 })
  const method = (name: string) => ({ path: service + name, requestStream: true, responseStream: true, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same })
  const handle = (name: string) => (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
    const kept: Call = { method: name, messages: [], header: String(call.metadata.get('mm-vmodel-id')) }
    calls.push(kept)
    call.on('data', (bytes: Buffer) => {
      const message = { name: '', version: '', rest: 0 }
      const reader = new FieldReader(bytes)
      while (reader.next()) {
        if (reader.field === 1) message.name += reader.text
        else if (reader.field === 2) message.version += reader.text
        else message.rest += reader.to - reader.start
      }
      kept.messages.push(message)
      if (fails) call.emit('error', { code: 14, details: 'not now' })
      else call.write(Buffer.from(message.name))
    })
    call.on('end', () => { if (!fails) call.end() })
    call.on('error', () => {})
  }
  const names = ['ModelInfer', 'ModelStreamInfer', 'ModelReady', 'RepositoryModelLoad']
  server.addService(Object.fromEntries(names.map((name) => [name, method(name)])), Object.fromEntries(names.map((name) => [name, handle(name)])))
  t.after(() => server.forceShutdown())
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => { if (error) reject(error); else resolve(bound) })
  })
  return { port, calls }
}

async function grpcGateway(t: TestContext, variants: readonly Variant[], ports: Record<string, number[]>, more: Partial<Rule> = {}) {
  const { url } = await testProxy(t, active('1', [route({ rules: [rule({ variants, ...more })] })], ports))
  return function ask(name: string, messages: readonly Buffer[], options: grpc.ClientOptions = {}, metadata = new grpc.Metadata()) {
    const client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure(), { ...options, 'grpc.use_local_subchannel_pool': 1 })
    t.after(() => client.close())
    const call = client.makeBidiStreamRequest<Buffer, Buffer>(service + name, same, same, metadata)
    call.on('data', () => {})
    call.on('error', () => {})
    const ended = new Promise<string>((resolve) => { call.on('status', ({ code, details }) => resolve(code === grpc.status.OK ? 'ok' : `${code} ${details}`)) })
    for (const message of messages) call.write(message)
    call.end()
    return ended
  }
}

const infer = (name: string, version = '', size = 100) => {
  const writer = new MessageWriter().text(1, name)
  if (version !== '') writer.text(2, version)
  return writer.bytes(7, Buffer.alloc(size)).whole()
}

test('messages of gRPC name the model and the version that the backend has, each of a stream, large or compressed', { timeout: 120_000 }, async (t) => {
  const { port, calls } = await grpcServer(t)
  const ask = await grpcGateway(t, [variant('v', 'a', { model: { name: 'real', version: '7' } })], { a: [port] })
  const metadata = new grpc.Metadata()
  metadata.set('mm-vmodel-id', 'virtual')
  assert.equal(await ask('ModelInfer', [infer('virtual', '', 3_000_000)], {}, metadata), 'ok')
  assert.equal(await ask('ModelStreamInfer', [infer('virtual', '1'), infer('virtual', '1', 200_000), infer('virtual', '1')]), 'ok')
  assert.equal(await ask('ModelInfer', [infer('virtual', '2', 3_000_000)], { 'grpc.default_compression_algorithm': 2 }), 'ok')
  assert.equal(await ask('ModelReady', [new MessageWriter().text(1, 'virtual').whole()]), 'ok')
  const real = (rest: number) => ({ name: 'real', version: '7', rest })
  assert.deepEqual(calls, [
    { method: 'ModelInfer', messages: [real(3_000_005)], header: 'real' },
    { method: 'ModelStreamInfer', messages: [real(102), real(200_004), real(102)], header: '' },
    { method: 'ModelInfer', messages: [real(3_000_005)], header: '' },
    { method: 'ModelReady', messages: [real(0)], header: '' },
  ])
  assert.match(await ask('RepositoryModelLoad', [new MessageWriter().text(2, 'virtual').whole()]), /^12 /, 'it names no version')
})

test('a message that names two models, or a stream that changes its mind, is broken off', { timeout: 120_000 }, async (t) => {
  const { port, calls } = await grpcServer(t)
  const ask = await grpcGateway(t, [variant('v', 'a', { model: { name: 'real' } })], { a: [port] })
  assert.match(await ask('ModelInfer', [Buffer.concat([infer('a'), new MessageWriter().text(1, 'b').whole()])]), /^3 .*twice/)
  assert.match(await ask('ModelStreamInfer', [infer('a'), infer('b')]), /^3 .*another model/)
  assert.ok(calls.flatMap(({ messages }) => messages).every(({ name }) => name === 'real'))
})

test('each variant is asked for its own model: the one that takes the place of another, and that of the copies', { timeout: 120_000 }, async (t) => {
  const [down, up, shadow] = await Promise.all([grpcServer(t, true), grpcServer(t), grpcServer(t)])
  const variants = [
    variant('first', 'down', { model: { name: 'one' } }), variant('second', 'up', { model: { name: 'two', version: '2' }, priority: 1 }),
    variant('shadow', 'shadow', { model: { name: 'three' }, weight: 0 }),
  ]
  const ask = await grpcGateway(t, variants, { down: [down.port], up: [up.port], shadow: [shadow.port] }, {
    retry: { attempts: 1, reasons: [], codes: [503], budgetPercent: 100, backoff: 1, inference: true }, mirror: { variant: 'shadow', percent: 100 },
  })
  assert.equal(await ask('ModelReady', [infer('virtual')]), 'ok')
  const named = ({ calls }: { calls: Call[] }) => calls.flatMap(({ messages }) => messages.map(({ name, version }) => `${name} ${version}`))
  assert.deepEqual(new Set(named(down)), new Set(['one ']))
  assert.deepEqual(named(up), ['two 2'])
  await eventually(() => named(shadow).length > 0)
  assert.deepEqual(named(shadow), ['three '])
})

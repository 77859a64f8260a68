import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, createServer, type ClientHttp2Stream } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { FrameReader, framed, onlyMessage } from '../../dataplane/protocols/grpc_frames.ts'
import { FieldReader, MessageWriter } from '../../dataplane/protocols/protobuf.ts'
import { readMessage, writeMessage } from '../../dataplane/tensors/grpc_message.ts'
import { noParameters } from '../../dataplane/tensors/tensor.ts'
import { elementsIn, textsAs } from '../../dataplane/translate/tensors/values.ts'
import type { Rule } from '../../table/route.ts'
import { until } from '../cluster/wait.ts'
import { testProxy, type TestProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

type Asked = { prompt: string; stream_options?: { include_usage?: boolean } }
type Said = Readonly<{ text?: string; error?: string }>
type Stream = Readonly<{ stream: ClientHttp2Stream; heard: Said[]; ended: Promise<string | undefined>; say(prompt: string): void }>

const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`

/** In front of a server of the OpenAI API, which answers as the test says. */
async function openAILike(t: TestContext, answer: (asked: Asked, response: ServerResponse, request: IncomingMessage) => void, more: Partial<Rule> = {}): Promise<TestProxy> {
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.url === '/v1/completions') answer(JSON.parse(Buffer.concat(chunks).toString()) as Asked, response, request)
      else response.writeHead(404).end('{}')
    })
  })
  return testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('stable', 'ml/s:80', { protocol: 'OpenAI' })], ...more })] })], { 'ml/s:80': [port] }))
}

const message = (prompt: string) => framed(...writeMessage('inputs', { model: 'lm', version: '', id: '', parameters: noParameters, tensors: [textsAs('text_input', [1], [prompt])], outputs: [] }).pieces)

function readSaid(frame: Buffer): Said {
  const reader = new FieldReader(onlyMessage(frame) ?? Buffer.alloc(0))
  let said: Said = {}
  while (reader.next()) {
    if (reader.field === 1) said = { error: reader.text }
    const infer = reader.field === 2 ? readMessage('outputs', reader.value) : undefined
    if (infer !== undefined && 'tensors' in infer && infer.tensors[0] !== undefined && said.error === undefined) said = { text: String(elementsIn(infer.tensors[0])?.[0]) }
  }
  return said
}

/** A stream of inferences that stays open until the caller ends it. */
function open(t: TestContext, proxy: TestProxy, headers: Record<string, string> = {}): Stream {
  const session = connect(proxy.url)
  session.on('error', () => {})
  t.after(() => session.destroy())
  const stream = session.request({ ':method': 'POST', ':path': '/inference.GRPCInferenceService/ModelStreamInfer', 'content-type': 'application/grpc', te: 'trailers', ...headers }, { endStream: false })
  const frames = new FrameReader(1_000_000)
  const heard: Said[] = []
  let status: string | undefined
  stream.on('data', (chunk: Buffer) => heard.push(...(frames.push(chunk) ?? []).map(readSaid)))
  const take = (head: NodeJS.Dict<string | string[]>) => { status = typeof head['grpc-status'] === 'string' ? head['grpc-status'] : status }
  stream.on('response', take)
  stream.on('trailers', take)
  stream.on('error', () => {})
  const ended = new Promise<string | undefined>((resolve) => { stream.on('close', () => resolve(status)) })
  return { stream, heard, ended, say: (prompt) => { stream.write(message(prompt)) } }
}

const budget: Rule['limits'] = [{
  policy: 'ml/quota', name: 'budget', appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [],
  algorithm: { type: 'FixedWindow', window: 86_400_000 }, unit: 'tokens', amount: 10_000, scope: 'Global', shadow: false, onStoreFailure: 'Local',
}]

/** What was spent, asked for without spending any. */
async function spent(proxy: TestProxy): Promise<number> {
  const { items } = await (await fetch(new URL('/usage', proxy.urls.admin))).json() as { items: { limits: { remaining: number }[] }[] }
  return 10_000 - (items[0]?.limits[0]?.remaining ?? Number.NaN)
}

const words = (asked: Asked, response: ServerResponse) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const word of asked.prompt.split(' ')) response.write(event({ choices: [{ index: 0, text: word }] }))
  if (asked.stream_options?.include_usage === true) response.write(event({ choices: [], usage: { prompt_tokens: 40, completion_tokens: 10 } }))
  response.end('data: [DONE]\n\n')
}

test('each message of a stream of gRPC is answered when it comes, though the caller says more only after that', { timeout: 120_000 }, async (t) => {
  const proxy = await openAILike(t, words)
  const { heard, ended, say, stream } = open(t, proxy)
  say('one two')
  await until('the first answer', () => Promise.resolve(heard.length === 2))
  say('three')
  await until('the second answer', () => Promise.resolve(heard.length === 3))
  // Two in one piece, and an end.
  stream.end(Buffer.concat([message('four'), message('five six')]))
  assert.equal(await ended, '0')
  assert.deepEqual(heard, ['one', 'two', 'three', 'four', 'five', 'six'].map((text) => ({ text })))
  await until('the log', () => Promise.resolve(proxy.lines().length === 1))
  assert.equal(proxy.lines()[0]?.['status'], 200)
})

test('a message that fails is answered by an error, and the stream goes on', { timeout: 120_000 }, async (t) => {
  const proxy = await openAILike(t, (asked, response) => {
    if (asked.prompt === 'no') response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"not that"}}')
    else if (asked.prompt === 'die') {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(event({ choices: [{ index: 0, text: 'a' }] }), () => setImmediate(() => response.destroy()))
    } else words(asked, response)
  })
  const { heard, ended, say, stream } = open(t, proxy)
  say('no')
  await until('an error', () => Promise.resolve(heard.length === 1))
  say('die')
  await until('another', () => Promise.resolve(heard.length === 3))
  say('yes')
  await until('an answer', () => Promise.resolve(heard.length === 4))
  stream.end()
  assert.equal(await ended, '0')
  assert.deepEqual(heard, [{ error: 'not that' }, { text: 'a' }, { error: 'The backend broke the connection.' }, { text: 'yes' }])
})

test('where the first message leads nowhere, the stream says so by its status', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('stable', 'ml/s:80', { protocol: 'OpenAI' })] })] })], { 'ml/s:80': [] }))
  const { ended, say } = open(t, proxy)
  say('one')
  assert.equal(await ended, '14')
})

test('what is no message ends the stream, and a deadline holds for all of it', { timeout: 120_000 }, async (t) => {
  const proxy = await openAILike(t, words, { sizeLimits: { request: 1000, response: 100_000 } })
  const cut = open(t, proxy)
  cut.stream.end(message('one').subarray(0, 9))
  assert.equal(await cut.ended, '3')
  const large = open(t, proxy)
  large.stream.write(Buffer.from([0, 255, 0, 0, 0]))
  assert.equal(await large.ended, '8')
  const late = open(t, proxy, { 'grpc-timeout': '300m' })
  assert.equal(await late.ended, '4')
})

test('a caller who leaves ends the call that is in hand, and what all of them took is settled', { timeout: 120_000 }, async (t) => {
  const left = Promise.withResolvers<void>()
  const proxy = await openAILike(t, (asked, response) => {
    if (asked.prompt !== 'stay') {
      words(asked, response)
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(event({ choices: [{ index: 0, text: 'x' }], usage: { prompt_tokens: 5, completion_tokens: 1 } }))
    response.on('close', () => left.resolve())
  }, { limits: budget })
  const { heard, say, stream } = open(t, proxy)
  say('one')
  await until('the first answer', () => Promise.resolve(heard.length === 1))
  say('stay')
  await until('the second', () => Promise.resolve(heard.length === 2))
  stream.close(8)
  await left.promise
  await until('what it took to be settled', async () => await spent(proxy) === 56)
})

/** A server of gRPC that says a word, and no more, and tells of who leaves. */
async function wordByGrpc(t: TestContext, left: () => void): Promise<number> {
  const server = createServer()
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    if (headers[':path']?.endsWith('ModelMetadata') === true) {
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '5' }))
      stream.end()
      return
    }
    const infer = { model: 'lm', version: '', id: '', parameters: noParameters, tensors: [textsAs('text_output', [1], ['one'])], outputs: [] }
    stream.write(framed(new MessageWriter().bytes(2, Buffer.concat(writeMessage('outputs', infer).pieces)).whole()))
    stream.on('close', left)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

test('a caller of events who leaves ends the stream of a server of gRPC, and what was written is settled', { timeout: 120_000 }, async (t) => {
  const left = Promise.withResolvers<void>()
  const port = await wordByGrpc(t, () => left.resolve())
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('stable', 'ml/s:80', { protocol: 'GRPC' })], limits: budget })] })], { 'ml/s:80': [port] }))
  const abort = new AbortController()
  const answer = await fetch(`${proxy.url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'lm', prompt: 'x', stream: true, max_tokens: 5000 }), signal: abort.signal })
  const reader = answer.body?.getReader()
  assert.match(Buffer.from((await reader?.read())?.value ?? []).toString(), /"one"/)
  abort.abort()
  await left.promise
  // A word, and a quarter of the bytes of the request for its prompt.
  await until('what it took to be settled', async () => await spent(proxy) < 50)
})

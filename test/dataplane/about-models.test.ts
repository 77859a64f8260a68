import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import * as grpc from '@grpc/grpc-js'
import { FieldReader, MessageWriter } from '../../dataplane/protocols/protobuf.ts'
import type { Auth, Permission } from '../../table/principal.ts'
import type { Rule } from '../../table/route.ts'
import { keySet, withKeys } from './keys.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const auth: Auth = { anyOf: [{ kind: 'apiKey', in: 'Header', name: 'x-api-key', set: 'ml?' }], anonymous: false }
const pro: Permission = { consumers: [], groups: [], tiers: ['pro'], scopes: [], models: [], methods: [] }
const grpcService = '/inference.GRPCInferenceService'

/** The models of a Triton, as it says them itself. */
const metadata = { name: 'fraud-real', versions: ['1', '2'], platform: 'python', inputs: [{ name: 'A', datatype: 'FP32', shape: [-1] }], outputs: [] }

async function gateway(t: TestContext, rules: readonly Rule[]) {
  const seen: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    seen.push(`${request.method} ${request.url}`)
    const away = request.url?.includes('asleep') === true
    const said = request.url === '/v1/models' ? { data: [{ id: 'llama' }] } : metadata
    response.writeHead(away ? 400 : 200, { 'content-type': 'application/json' }).end(request.url?.endsWith('/ready') === true ? '' : JSON.stringify(said))
  })
  const keys = keySet('ml?', { ann: { consumer: 'ann', tier: 'pro' }, bob: { consumer: 'bob', tier: 'free' } })
  const table = active('1', [route({ rules: rules.map((each) => ({ ...each, auth })) })], { 'ml/s:80': [port], 'none': [] })
  const { url } = await testProxy(t, withKeys(table, keys))
  async function ask(path: string, key = 'ann', method = 'GET', body?: string) {
    const answer = await fetch(url + path, { method, headers: { 'x-api-key': key }, ...(body !== undefined && { body }) })
    const text = await answer.text()
    return [answer.status, text === '' ? '' : JSON.parse(text)] as [number, unknown]
  }
  const client = new grpc.Client(new URL(url).host, grpc.credentials.createInsecure())
  t.after(() => client.close())
  const call = (method: string, message = new MessageWriter(), key = 'ann') => {
    const headers = new grpc.Metadata()
    headers.set('x-api-key', key)
    return new Promise<(string | number)[] | string>((resolve) => {
      client.makeUnaryRequest(`${grpcService}/${method}`, (bytes: Buffer) => bytes, (bytes: Buffer) => bytes, message.whole(), headers, (error, answer) => {
        resolve(error ? `${error.code} ${error.details}` : fieldsOf(answer))
      })
    })
  }
  return { url, seen, ask, call }
}

function fieldsOf(answer: Buffer | undefined): (string | number)[] {
  const fields: (string | number)[] = []
  const reader = new FieldReader(answer ?? Buffer.alloc(0))
  while (reader.next()) fields.push(reader.wire === 0 ? reader.number : reader.text)
  return fields
}

/** Rules that take inferences and nothing else. */
const infer = (name: string, more: Partial<Rule> = {}) => rule({ name, matches: [match(`/v2/models/${name}/infer`, { type: 'Exact' })], ...more })
const real = [variant('stable', 'ml/s:80', { protocol: 'V2', model: { name: 'fraud-real', version: '2' } })]

test('health, readiness, metadata and lists over what a caller may see, in V2, V1 and the OpenAI API', async (t) => {
  const { url, seen, ask } = await gateway(t, [
    infer('fraud', { variants: real }), infer('dear', { authorization: [pro], variants: [variant('stable', 'none')] }),
    rule({ name: 'chat', matches: [match('/v1/chat/completions', { model: { name: 'llama' } })] }),
    rule({ name: 'grpc', matches: [match(grpcService, { model: { name: 'vision', version: '3' } })] }),
  ])
  assert.deepEqual(await ask('/v2/health/live'), [200, { live: true }])
  assert.deepEqual(await ask('/v2/health/ready', 'bob'), [200, { ready: true }])
  assert.deepEqual(await ask('/v2/health/ready', 'ann'), [503, { error: 'Not ready: dear.' }], 'a model of theirs has nobody')
  assert.equal((await fetch(`${url}/v2/health/ready`, { method: 'HEAD', headers: { 'x-api-key': 'bob' } })).status, 200)
  const [status, server] = await ask('/v2')
  assert.deepEqual([status, Object.keys(server as object)], [200, ['name', 'version', 'extensions']])
  const bobs = [{ name: 'fraud', state: 'READY' }, { name: 'llama', state: 'READY' }, { name: 'vision', version: '3', state: 'READY' }]
  assert.deepEqual(await ask('/v2/repository/index', 'bob', 'POST', ''), [200, bobs])
  assert.deepEqual(await ask('/v2/repository/index', 'ann', 'POST'), [200, [{ name: 'dear', state: 'UNAVAILABLE' }, ...bobs]])
  assert.deepEqual(await ask('/v2/repository/index', 'ann', 'POST', '{"ready":true}'), [200, bobs])
  const [, list] = await ask('/v1/models', 'ann')
  const { data, models } = list as { data: { id: string; owned_by: string; created: number }[]; models: string[] }
  assert.deepEqual([models, data.map(({ id }) => id), data[0]?.owned_by, data[0]?.created], [['fraud', 'llama', 'vision'], ['fraud', 'llama', 'vision'], 'ml', Date.UTC(2026, 0) / 1000])
  assert.equal((await fetch(`${url}/v2/health/ready`)).status, 401)
  assert.deepEqual(seen, [], 'no backend was asked for that')
})

test('a model is asked about where it is, by the name that it has there, in whatever its backend speaks', async (t) => {
  const { seen, ask, call } = await gateway(t, [
    infer('fraud', { variants: [variant('shadow', 'none', { weight: 0 }), ...real] }), infer('asleep', { variants: [variant('v', 'ml/s:80', { protocol: 'V2' })] }),
    infer('gone', { variants: [variant('v', 'none')] }), infer('dear', { authorization: [pro] }),
    rule({ name: 'chat', matches: [match('/v1/chat/completions', { model: { name: 'llama' } })] }),
  ])
  assert.deepEqual(await ask('/v2/models/fraud'), [200, { ...metadata, name: 'fraud' }], 'by the name that the caller has for it')
  assert.deepEqual(await ask('/v2/models/fraud/ready'), [200, { name: 'fraud', ready: true }])
  assert.deepEqual((await ask('/v1/models/fraud'))[0], 200)
  assert.deepEqual(await call('ModelReady', new MessageWriter().text(1, 'fraud')), [1])
  assert.deepEqual(new Set(seen), new Set(['GET /v2/models/fraud-real/versions/2', 'GET /v2/models/fraud-real/versions/2/ready']))
  assert.deepEqual((await ask('/v2/models/asleep/ready'))[0], 400)
  assert.deepEqual(await call('ModelReady', new MessageWriter().text(1, 'asleep')), [])
  assert.deepEqual((await ask('/v2/models/gone/ready'))[0], 503)
  assert.deepEqual((await ask('/v1/models/llama'))[0], 200)
  assert.deepEqual((await ask('/v2/models/dear', 'bob'))[0], 404, 'what they may not see is not there')
  assert.deepEqual(await ask('/v2/models/nothing'), [404, { error: "Request for unknown model: 'nothing' is not found" }])
  assert.equal((await ask('/v2/models/nothing/infer', 'ann', 'POST', '{}'))[0], 404)
})

test('the same over gRPC', async (t) => {
  const { call } = await gateway(t, [infer('fraud', { variants: real }), infer('gone', { authorization: [pro], variants: [variant('v', 'none')] })])
  assert.deepEqual(await call('ServerLive'), [1])
  assert.deepEqual([await call('ServerReady', undefined, 'bob'), await call('ServerReady')], [[1], []])
  assert.equal((await call('ServerMetadata')).length, 2)
  const [fraud] = await call('RepositoryIndex', undefined, 'bob')
  assert.deepEqual(fieldsOf(Buffer.from(String(fraud))), ['fraud', 'READY'])
  assert.equal((await call('RepositoryIndex')).length, 2)
  assert.equal((await call('RepositoryIndex', new MessageWriter().number(2, true))).length, 1)
  assert.deepEqual((await call('ModelMetadata', new MessageWriter().text(1, 'fraud'))).slice(0, 4), ['fraud', '1', '2', 'python'])
  assert.match(String(await call('ModelMetadata', new MessageWriter().text(1, 'nothing'))), /^5 .*unknown model/)
  assert.match(String(await call('ServerReady', undefined, 'nobody')), /^16 /)
  assert.match(String(await call('ModelInfer', new MessageWriter().text(1, 'nothing'))), /^12 /)
})

// What real servers answer when they are asked whether they are fit, and what becomes of their traffic.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { httpUpstream } from '../dataplane/sockets.ts'
import { until } from '../cluster/wait.ts'
import { inTime, watchMachine } from '../machine.ts'
import { startNginx } from './nginx.ts'
import { startServe } from './serve.ts'
import { startLlama, startTriton } from './servers.ts'
import { cannotRun } from './venv.ts'

const skip = await cannotRun()

const service = (name: string, port: number | string) => `apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {ports: [{port: 8000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]
---
`
const route = (rules: string) => `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: all}
spec:
  rules:
${rules}
`

type Report = Readonly<{ rule: string; variant: string; endpoints: readonly Readonly<{ state: string; why?: string }>[] }>

/** Of each rule and variant: the state of its only endpoint. */
async function states(admin: string | undefined): Promise<Record<string, string>> {
  const { items } = await (await fetch(`${admin}/upstreams`)).json() as { items: Report[] }
  return Object.fromEntries(items.map(({ rule, variant, endpoints: [one] }) => [`${rule} ${variant}`, one?.state ?? 'none']))
}

const tensor = (name: string) => ({ name, datatype: 'FP32', shape: [1], data: [1] })
const body = JSON.stringify({ inputs: [tensor('A'), tensor('B')] })

test('Triton: a version that is not loaded gets no traffic, asked for over REST and gRPC; its server is serving', { skip }, async (t) => {
  const triton = await startTriton()
  t.after(() => triton.stop())
  const gateway = await startServe(service('rest', new URL(triton.http).port) + service('grpc', triton.grpc.split(':')[1] ?? '') + route(`
  - name: rest
    matches: [{path: {type: PathPrefix, value: /v2/models/add}}]
    backendRefs:
    - {variant: loaded, name: rest, port: 8000, model: {version: "2"}}
    - {variant: missing, name: rest, port: 8000, model: {version: "9"}}
    health: {active: {type: Model, interval: 300ms}}
  - name: grpc
    matches: [{path: {type: PathPrefix, value: /inference.GRPCInferenceService}}]
    backendRefs:
    - {variant: loaded, name: grpc, port: 8000, model: {name: add, version: "1"}}
    - {variant: missing, name: grpc, port: 8000, model: {name: add, version: "9"}}
    health: {active: {type: Model, interval: 300ms}}
  - name: server
    matches: [{path: {type: PathPrefix, value: /server}}]
    backendRefs: [{variant: only, name: grpc, port: 8000}]
    health: {active: {type: GRPC, interval: 300ms}}`))
  t.after(() => gateway.stop())
  const wanted = { 'rest loaded': 'healthy', 'rest missing': 'unhealthy', 'grpc loaded': 'healthy', 'grpc missing': 'unhealthy', 'server only': 'healthy' }
  // An answer that a busy machine brings too late is asked for again.
  await until('all to be known', async () => assert.deepEqual(await states(gateway.urls['admin']), wanted) ?? true, { timeout: 60_000, every: 50 })
  const answers = await Promise.all(Array.from({ length: 20 }, async () => {
    const response = await fetch(`${gateway.urls['http']}/v2/models/add/infer`, { method: 'POST', body })
    return `${response.headers.get('x-modelroute-variant')} ${response.status}`
  }))
  assert.deepEqual(Object.entries(Object.groupBy(answers, (one) => one)).map(([one, all]) => `${one}: ${all?.length}`).sort(), ['loaded 200: 10', 'missing 503: 10'])
})

test('Triton, frozen: its requests are refused at once; thawed, it has them all again within 2 s', { skip }, async (t) => {
  const triton = await startTriton()
  t.after(() => {
    process.kill(triton.pid, 'SIGCONT')
    return triton.stop()
  })
  const gateway = await startServe(service('rest', new URL(triton.http).port) + route(`
  - name: rest
    matches: [{path: {type: PathPrefix, value: /v2/models/add}}]
    backendRefs: [{variant: only, name: rest, port: 8000}]
    health: {active: {type: Model, interval: 300ms, timeout: 200ms, healthy: 1, unhealthy: 2}, passive: {consecutiveErrors: 3}}
    circuitBreaker: {errorPercent: 50, openFor: 1s}`))
  t.after(() => gateway.stop())
  const ask = async () => (await fetch(`${gateway.urls['http']}/v2/models/add/infer`, { method: 'POST', body })).status
  await until('it to answer', async () => (await ask()) === 200, { timeout: 60_000, every: 50 })
  process.kill(triton.pid, 'SIGSTOP')
  await until('it to be unhealthy', async () => (await states(gateway.urls['admin']))['rest only'] === 'unhealthy', { timeout: 60_000, every: 20 })
  const machine = watchMachine()
  const began = performance.now()
  assert.equal(await ask(), 503)
  inTime(t, 'to be refused', performance.now() - began, 200, machine())
  process.kill(triton.pid, 'SIGCONT')
  const thawed = performance.now()
  await until('it to answer', async () => (await ask()) === 200, { timeout: 60_000, every: 20 })
  const took = performance.now() - thawed
  t.diagnostic(`${took.toFixed(0)} ms`)
  inTime(t, 'to be asked again', took, 2000, machine())
  for (let i = 0; i < 20; i++) assert.equal(await ask(), 200)
})

test('llama.cpp lists its model', { skip }, async (t) => {
  const llama = await startLlama()
  t.after(() => llama.stop())
  const gateway = await startServe(service('llama', new URL(llama.url).port) + route(`
  - name: chat
    matches: [{path: {type: PathPrefix, value: /v1/chat/completions}}]
    backendRefs: [{variant: only, name: llama, port: 8000}]
    health: {active: {type: Model, interval: 300ms}}`))
  t.after(() => gateway.stop())
  await until('it to be asked', async () => (await states(gateway.urls['admin']))['chat only'] === 'healthy', { timeout: 60_000, every: 50 })
  const chat = JSON.stringify({ model: 'tiny', max_tokens: 2, messages: [{ role: 'user', content: 'Good morning' }] })
  const headers = { 'content-type': 'application/json' }
  assert.equal((await fetch(`${gateway.urls['http']}/v1/chat/completions`, { method: 'POST', headers, body: chat })).status, 200)
})

test('nginx: what it answers for a server behind it counts', { skip }, async (t) => {
  let ready = true
  const behind = await httpUpstream(t, (request, response) => response.writeHead(request.url === '/health' && !ready ? 503 : 200).end('{}'))
  const nginx = await startNginx(behind)
  t.after(() => nginx.stop())
  const gateway = await startServe(service('nginx', nginx.port) + route(`
  - name: all
    backendRefs: [{variant: only, name: nginx, port: 8000}]
    health: {active: {path: /health, interval: 200ms, healthy: 1, unhealthy: 1}}`))
  t.after(() => gateway.stop())
  const ask = async () => (await fetch(`${gateway.urls['http']}/v2`, { method: 'POST', body: '{}' })).status
  for (const [state, status] of [[true, 200], [false, 503], [true, 200]] as const) {
    ready = state
    await until(`${status}`, async () => (await ask()) === status, { timeout: 60_000, every: 20 })
  }
})

// Compositions of real servers: one prepares on MLServer, Triton predicts over gRPC and refines over REST; two versions and one mean; each
// of a list; a stream as the last step.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { portOf, serviceAt } from '../manifests.ts'
import { startServe, type Serving } from './serve.ts'
import { startMlserver, startTriton, type OtherServer, type Triton } from './servers.ts'
import { cannotRun } from './venv.ts'

/** Two tensors of FP32, as the models `add` take them. */
const add = (a: string, b: string) => `{"inputs": [{"name": "A", "datatype": "FP32", "shape": [size(${a})], "data": ${a}}, {"name": "B", "datatype": "FP32", "shape": [size(${a})], "data": ${b}}]}`
const sum = (step: string) => `steps.${step}.body.outputs[0].data`
const rule = (name: string, compose: string) => `
  - name: ${name}
    matches: [{path: {type: Exact, value: /${name}}}]
    compose:
      steps:${compose}`

const manifests = (triton: Triton, mlserver: OtherServer) => `
${serviceAt('triton', portOf(triton.http))}
---
${serviceAt('triton-grpc', portOf(triton.grpc))}
---
${serviceAt('mlserver', portOf(mlserver.http))}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: composed}
spec:
  rules:${rule('pipeline', `
      - {name: pre, backendRef: {name: mlserver, port: 8000, protocol: V2, model: {name: add}}, input: '${add('request.body.amounts', 'request.body.amounts')}'}
      - {name: model, backendRef: {name: triton-grpc, port: 8000, protocol: GRPC, model: {name: add, version: "1"}}, input: '${add(sum('pre'), 'request.body.amounts')}'}
      - {name: post, backendRef: {name: triton, port: 8000, protocol: V2, model: {name: add, version: "2"}}, input: '${add(sum('model'), sum('pre'))}'}
      output: '{"scores": ${sum('post')}, "between": ${sum('model')}, "version": steps.post.body.model_version}'`)}${rule('ensemble', `
      - {name: one, backendRef: {name: triton, port: 8000, protocol: V2, model: {name: add, version: "1"}}, input: '${add('request.body.amounts', 'request.body.amounts')}'}
      - {name: two, backendRef: {name: triton-grpc, port: 8000, protocol: GRPC, model: {name: add, version: "2"}}, input: '${add('request.body.amounts', 'request.body.amounts')}'}
      - {name: none, backendRef: {name: triton, port: 8000, protocol: V2, model: {name: add, version: "9"}}, input: '${add('request.body.amounts', 'request.body.amounts')}', onError: Skip}
      output: '{"mean": mean([${sum('one')}, ${sum('two')}, steps.none.body]), "weighted": weighted([${sum('one')}, ${sum('two')}], [3, 1]), "failed": steps.none.failed}'`)}${rule('each', `
      - {name: row, backendRef: {name: mlserver, port: 8000, protocol: V2, model: {name: add}}, forEach: request.body.rows, input: '${add('item', 'item')}', maxParallel: 4}
      output: 'steps.row.body.map(row, row.outputs[0].data)'`)}${rule('stream', `
      - {name: pre, backendRef: {name: mlserver, port: 8000, protocol: V2, model: {name: add}}, input: '${add('[1.0]', '[1.0]')}'}
      - name: text
        backendRef: {name: triton, port: 8000}
        dependsOn: [pre]
        path: /v2/models/text/generate_stream
        input: '{"text_input": request.body.prompt, "stream": true}'`)}
`

suite('compositions of real servers', { skip: await cannotRun() }, () => {
  let triton: Triton
  let mlserver: OtherServer
  let gateway: Serving

  before(async () => {
    [triton, mlserver] = await Promise.all([startTriton(), startMlserver()])
    gateway = await startServe(manifests(triton, mlserver))
  })
  after(async () => {
    await Promise.all([gateway?.stop(), triton?.stop(), mlserver?.stop()])
  })

  const ask = async (path: string, body: object) => {
    const response = await fetch(`${gateway.urls['http']}/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const text = await response.text()
    assert.equal(response.status, 200, text)
    return { response, text }
  }

  test('one prepares, one predicts over gRPC, one refines: three servers and one answer', async () => {
    const { text } = await ask('pipeline', { amounts: [1.5, 2] })
    assert.deepEqual(JSON.parse(text), { scores: [1007.5, 1010], between: [4.5, 6], version: '2' })
  })

  test('two versions over two protocols have one mean, and one that is not there has no say', async () => {
    const { text } = await ask('ensemble', { amounts: [1, 2] })
    assert.deepEqual(JSON.parse(text), { mean: [502, 504], weighted: [252, 254], failed: true })
  })

  test('each of a hundred rows is asked for by itself, and keeps its place', async () => {
    const rows = Array.from({ length: 100 }, (_, i) => Array.from({ length: 1 + i % 3 }, () => i + 0.25))
    const { text } = await ask('each', { rows })
    assert.deepEqual(JSON.parse(text), rows.map((row) => row.map((one) => one * 2)))
  })

  test('a stream of the last step is one for the client', async () => {
    const { response, text } = await ask('stream', { prompt: 'one two three' })
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/)
    const events = text.split('\n\n').filter((event) => event !== '')
    assert.ok(events.length >= 3 && events.every((event) => event.startsWith('data: {')), text)
  })
})

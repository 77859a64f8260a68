// Requests held to what a real Triton and a real MLServer say of their models, and bodies changed on their way there and back.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { portOf, routeTo } from '../manifests.ts'
import { startServe, type Serving } from './serve.ts'
import { startMlserver, startTriton, type Triton } from './servers.ts'
import { cannotRun, ensureVenv, type Venv } from './venv.ts'

const run = promisify(execFile)
const here = import.meta.dirname

/** Callers choose by a header what their server speaks. */
const route = (name: string, address: string, rule: string) => routeTo(name, portOf(address), {
  matches: `{headers: [{name: x-to, value: ${name}}]}${name === 'grpc' ? ', {path: {value: /inference.GRPCInferenceService}}' : ''}`,
  protocol: name === 'grpc' ? 'GRPC' : 'V2', more: [rule],
})
const validated = 'validation: {request: {source: ModelMetadata}, response: {source: ModelMetadata, onError: Reject}}'
const changed = `transform:
      request: {body: {remove: [/parameters/ssn], set: [{pointer: /id, value: '"caller-" + request.headers["x-caller"]'}]}}
      response:
        headers: {set: [{name: x-model, value: batched}]}
        body: {remove: [/outputs/1]}
        enrich: {pointer: /parameters/modelroute, confidence: {pointer: /outputs/0/data, low: "0.6"}}`

type Model = { name: string; version: string; inputs?: unknown }

suite('bodies and a real Triton', { skip: await cannotRun() }, () => {
  let triton: Triton
  let gateway: Serving
  let venv: Venv

  before(async () => {
    const models = temporaryFolder('models')
    for (const name of ['add', 'text']) cpSync(join(here, 'models', name), join(models, name), { recursive: true })
    mkdirSync(join(models, 'batched/1'), { recursive: true })
    cpSync(join(here, 'batched/config.pbtxt'), join(models, 'batched/config.pbtxt'))
    cpSync(join(here, 'batched/model.py'), join(models, 'batched/1/model.py'))
    ;[triton, venv] = await Promise.all([startTriton({ models }), ensureVenv('sdk')])
    gateway = await startServe(route('rest', triton.http, validated) + route('grpc', triton.grpc, validated) + route('changed', triton.http, changed))
  }, { timeout: 300_000 })
  after(async () => {
    await Promise.all([gateway?.stop(), triton?.stop()])
  })

  const infer = async (to: string, body: object, path = '/v2/models/batched/infer', headers: Record<string, string> = {}) => {
    const got = await fetch(`${gateway.urls['http']}${path}`, { method: 'POST', headers: { 'x-to': to, ...headers }, body: JSON.stringify(body) })
    const text = await got.text()
    return { status: got.status, headers: got.headers, text, fault: (JSON.parse(text) as { error?: string }).error?.replace('The body of the request does not fit: ', '') }
  }
  /** How many inferences Triton had. */
  const seen = async () => Number(/nv_inference_request_success\{model="batched",version="1"\} (\d+)/.exec(await (await fetch(triton.metrics)).text())?.[1] ?? 0)
    + Number(/nv_inference_request_failure\{model="batched"[^}]*reason="OTHER"[^}]*\} (\d+)/.exec(await (await fetch(triton.metrics)).text())?.[1] ?? 0)
  const x = { name: 'X', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }

  for (const to of ['rest', 'grpc']) {
    test(`what Triton says of its models decides, asked over ${to === 'rest' ? 'REST' : 'gRPC'}`, { timeout: 120_000 }, async () => {
      const described = await (await fetch(`${triton.http}/v2/models/batched`)).json() as Model
      assert.deepEqual(described.inputs, [{ name: 'X', datatype: 'FP32', shape: [-1, 4] }, { name: 'NOTE', datatype: 'BYTES', shape: [-1, 1] }])
      const before = await seen()
      // A batch of any size, with and without the input that is optional.
      assert.equal((await infer(to, { inputs: [x] })).status, 200)
      assert.equal((await infer(to, { inputs: [{ ...x, shape: [3, 4], data: [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]] }] })).status, 200)
      const wrong = [
        [[{ ...x, name: 'Z' }], '/inputs/0/name is no input of the model; /inputs has no "X"'],
        [[{ ...x, datatype: 'INT32' }], '/inputs/0/datatype must be FP32'],
        [[{ ...x, shape: [2, 2] }], '/inputs/0/shape/1 must be 4'],
        [[{ ...x, shape: [4] }], '/inputs/0/shape must have 2 dimensions, as [-1,4]'],
        [[], '/inputs has no "X"'],
        [[x, { ...x, name: 'MORE' }], '/inputs/1/name is no input of the model'],
        [[{ ...x, shape: [2, 4] }], '/inputs/0/data must have 8 elements'],
        [[{ ...x, data: ['1', '2', '3', '4'] }], '/inputs/0/data must be numbers'],
      ] as const
      for (const [inputs, fault] of wrong) {
        const refused = await infer(to, { inputs })
        assert.deepEqual([refused.status, refused.headers.get('x-modelroute-error'), refused.fault], [422, 'schema_mismatch', fault])
      }
      const unknown = await infer(to, { inputs: [x] }, '/v2/models/nope/infer')
      assert.deepEqual([unknown.status, unknown.headers.get('x-modelroute-error')], [404, 'model_not_found'])
      const other = { inputs: [{ name: 'A', datatype: 'FP32', shape: [2], data: [1, 2] }, { name: 'B', datatype: 'FP32', shape: [2], data: [3, 4] }] }
      assert.equal((await infer(to, other, '/v2/models/add/versions/1/infer')).status, 200)
      assert.equal((await infer(to, { inputs: [x] }, '/v1/models/batched:predict')).status, 422)
      assert.equal((await infer(to, { instances: [[1, 2, 3, 4], [5, 6, 7, 8]] }, '/v1/models/add:predict')).status, 422)
      assert.equal(await seen(), before + 2)
    })
  }

  test('tritonclient over gRPC is told of each fault, and Triton never sees it', { timeout: 120_000 }, async () => {
    const before = await seen()
    const { stdout } = await run(venv.python, [join(here, 'sdk/misfits.py'), gateway.urls['http']?.replace('http://', '') ?? ''], { timeout: 60_000 })
    const refused = (what: string, fault: string) => `${what} StatusCode.INVALID_ARGUMENT The body of the request does not fit: ${fault}`
    assert.deepEqual(stdout.trim().split('\n'), [
      'fits (3, 4)', 'outputs (1, 4)',
      refused('name', '/inputs/0/name is no input of the model; /inputs has no "X"'),
      refused('datatype', '/inputs/0/datatype must be FP32'),
      refused('shape', '/inputs/0/shape/1 must be 4'),
      refused('rank', '/inputs/0/shape must have 2 dimensions, as [-1,4]'),
      refused('missing', '/inputs has no "X"'),
      refused('output', '/outputs/0/name is no output of the model'),
    ])
    assert.equal(await seen(), before + 2)
  })

  test('what is taken out never reaches Triton, and its answer says where it came from', { timeout: 120_000 }, async () => {
    const sent = { id: 'mine', parameters: { ssn: '078-05-1120' }, inputs: [{ ...x, data: [0.25, 0.25, 0.25, 0.25] }] }
    const got = await infer('changed', sent, undefined, { 'x-caller': 'ada' })
    const answer = JSON.parse(got.text) as { id: string; parameters: unknown; outputs: { name: string; data: number[] }[] }
    // Triton gives the id back, so that it shows what it got; and it would not know a parameter such as that.
    assert.deepEqual([got.status, answer.id, answer.outputs.map(({ name }) => name)], [200, 'caller-ada', ['Y']])
    assert.deepEqual(answer.parameters, { modelroute: { variant: 'only', low_confidence: true } })
    assert.deepEqual([got.headers.get('x-model'), got.headers.get('x-modelroute-confidence')], ['batched', 'low'])
    const direct = await (await fetch(`${triton.http}/v2/models/batched/infer`, { method: 'POST', body: JSON.stringify(sent) })).json() as typeof answer
    assert.deepEqual(answer.outputs[0], direct.outputs.find(({ name }) => name === 'Y'))
  })
})

test('what MLServer says of its models decides, asked over REST and gRPC; answers are held to it too', { skip: await cannotRun(), timeout: 240_000 }, async (t) => {
  const mlserver = await startMlserver()
  t.after(() => mlserver.stop())
  const watched = validated.replace('Reject', 'Report')
  const gateway = await startServe(route('rest', mlserver.http, watched) + route('grpc', mlserver.grpc, watched)
    + route('changed', mlserver.http, `transform:
      request: {body: {remove: [/inputs/*/parameters], set: [{pointer: /id, value: '"ours"'}]}}
      response: {body: {remove: [/parameters]}, enrich: {pointer: /parameters/modelroute}}`))
  t.after(() => gateway.stop())
  const described = await (await fetch(`${mlserver.http}/v2/models/add`)).json() as Model
  assert.deepEqual((described.inputs as { name: string; datatype: string; shape: number[] }[]).map(({ name, datatype, shape }) => [name, datatype, shape]), [['A', 'FP32', [-1]], ['B', 'FP32', [-1]]])
  const [a, b] = ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [2], data: [1, 2] }))
  const infer = async (to: string, body: object, path = '/v2/models/add/infer') => {
    const got = await fetch(`${gateway.urls['http']}${path}`, { method: 'POST', headers: { 'x-to': to, 'content-type': 'application/json' }, body: JSON.stringify(body) })
    return { status: got.status, code: got.headers.get('x-modelroute-error'), body: await got.json() as { error?: string; id?: string; parameters?: unknown; outputs?: { data: number[] }[] } }
  }
  for (const to of ['rest', 'grpc']) {
    const good = await infer(to, { inputs: [a, b] })
    assert.deepEqual([good.status, good.body.outputs?.[0]?.data], [200, [2, 4]])
    // It says [-1] of what it gives, and gives [2,1].
    await until('the report', () => Promise.resolve(gateway.lines.some((line) => line['rule'] === 'all' && line['route'] === `default/${to}` && line['response_mismatch'] === '/outputs/0/shape')))
    const wrong = [
      [[{ ...a, name: 'Z' }, b], '/inputs/0/name is no input of the model; /inputs has no "A"'],
      [[{ ...a, datatype: 'INT64' }, b], '/inputs/0/datatype must be FP32'],
      [[{ ...a, shape: [1, 2] }, b], '/inputs/0/shape must have 1 dimensions, as [-1]'],
      [[a], '/inputs has no "B"'],
      [[a, { ...b, shape: [3] }], '/inputs/1/data must have 3 elements'],
    ] as const
    for (const [inputs, fault] of wrong) assert.deepEqual([(await infer(to, { inputs })).body.error, fault], [`The body of the request does not fit: ${fault}`, fault])
    const unknown = await infer(to, { inputs: [a, b] }, '/v2/models/nope/infer')
    assert.deepEqual([unknown.status, unknown.code], [404, 'model_not_found'])
  }
  const changed = await infer('changed', { id: 'mine', inputs: [{ ...a, parameters: { content_type: 'np', ssn: '078-05-1120' } }, b] })
  assert.deepEqual([changed.status, changed.body.id, changed.body.outputs?.[0]?.data, changed.body.parameters], [200, 'ours', [2, 4], { modelroute: { variant: 'only' } }])
})

// Single predictions for a Triton model, joined into few calls: each caller gets what he would have got alone.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { serviceAt } from '../manifests.ts'
import { startServe, type Serving } from './serve.ts'
import { startTriton, type Triton } from './servers.ts'
import { cannotRun } from './venv.ts'

const rule = (name: string, path: string, maxSize: number, maxDelay: string, protocol = '') => `
  - name: ${name}
    matches: [{path: {type: PathPrefix, value: ${path}}, headers: [{name: x-rule, value: ${name}}]}]
    backendRefs: [{variant: only, name: triton, port: 8000${protocol}}]
    batching: {maxSize: ${maxSize}, maxDelay: ${maxDelay}}`

const infer = '/v2/models/score/infer'
/** Words of one, two, three and four bytes a letter. */
const words = ['a', 'é', '日本', '😀', '', 'x'.repeat(300)]

suite('single predictions of a Triton model', { skip: await cannotRun() }, () => {
  let triton: Triton
  let gateway: Serving
  before(async () => {
    triton = await startTriton({ models: join(import.meta.dirname, 'batching') })
    const rules = [rule('few', '/v2', 16, '2s'), rule('pair', '/v2', 2, '10s'), rule('v1', '/v1', 4, '10s', ', protocol: V2')].join('')
    gateway = await startServe([`apiVersion: modelroute.io/v1alpha1\nkind: ModelRoute\nmetadata: {name: score}\nspec:\n  rules:${rules}`, serviceAt('triton', new URL(triton.http).port)].join('\n---\n'), '--log-level', 'error')
  })
  after(async () => {
    await Promise.all([gateway?.stop(), triton?.stop()])
  })

  const post = async (base: string | undefined, path: string, body: string | Buffer<ArrayBuffer>, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${base}${path}`, { method: 'POST', body, headers })
    const bytes = Buffer.from(await answer.arrayBuffer())
    const length = Number(answer.headers.get('inference-header-content-length') ?? bytes.length)
    return { status: answer.status, json: JSON.parse(bytes.toString('utf8', 0, length)) as Record<string, unknown>, tensors: bytes.subarray(length) }
  }

  /** Calls of the model, and the rows that they had. */
  async function counted(): Promise<{ calls: number; rows: number }> {
    const { model_stats: [stats] } = await (await fetch(`${triton.http}/v2/models/score/stats`)).json() as { model_stats: { execution_count: number; inference_count: number }[] }
    return { calls: stats?.execution_count ?? 0, rows: stats?.inference_count ?? 0 }
  }

  const asJson = (at: number) => JSON.stringify({
    id: `j${at}`, inputs: [{ name: 'X', shape: [1, 2], datatype: 'FP32', data: [[at, at + 0.1]] }, { name: 'T', shape: [1, 1], datatype: 'BYTES', data: [words[at % words.length]] }],
  })

  function asBinary(at: number): { body: Buffer<ArrayBuffer>; headers: Record<string, string> } {
    const x = Buffer.from(new Float32Array([at, at + 0.1]).buffer)
    const word = Buffer.from(words[at % words.length] ?? '')
    const length = Buffer.alloc(4)
    length.writeUInt32LE(word.length)
    const head = Buffer.from(JSON.stringify({
      id: `b${at}`, parameters: { binary_data_output: true },
      inputs: [{ name: 'X', shape: [1, 2], datatype: 'FP32', parameters: { binary_data_size: 8 } }, { name: 'T', shape: [1, 1], datatype: 'BYTES', parameters: { binary_data_size: 4 + word.length } }],
    }))
    return { body: Buffer.concat([head, x, length, word]), headers: { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) } }
  }

  for (const form of ['json', 'binary'] as const) {
    test(`tensors in ${form} come back bit for bit as they do alone, in few calls`, async () => {
      const all = Array.from({ length: 64 }, (_, at) => (form === 'json' ? { body: asJson(at), headers: { 'content-type': 'application/json' } } : asBinary(at)))
      const alone = []
      for (const { body, headers } of all) alone.push(await post(triton.http, infer, body, headers))
      const before = await counted()
      const joined = await Promise.all(all.map(({ body, headers }) => post(gateway.urls['http'], infer, body, { ...headers, 'x-rule': 'few' })))
      const after = await counted()
      for (const [at, { status, json, tensors }] of joined.entries()) {
        assert.equal(status, 200, JSON.stringify(json))
        assert.deepEqual(json, alone[at]?.json)
        assert.deepEqual(tensors, alone[at]?.tensors)
      }
      assert.equal(after.rows - before.rows, 64)
      assert.ok(after.calls - before.calls <= 8, `${after.calls - before.calls} calls`)
    })
  }

  test('a request that the model refuses fails none of its neighbours, and gets its own error', async () => {
    const bad = JSON.stringify({ inputs: [{ name: 'X', shape: [1, 2], datatype: 'FP32', data: [[-1, 1]] }] })
    const good = JSON.stringify({ id: 'g', inputs: [{ name: 'X', shape: [1, 2], datatype: 'FP32', data: [[3, 5]] }] })
    const [refused, answered] = await Promise.all([bad, good].map((body) => post(gateway.urls['http'], infer, body, { 'content-type': 'application/json', 'x-rule': 'pair' })))
    const direct = await post(triton.http, infer, bad, { 'content-type': 'application/json' })
    assert.ok(refused && answered)
    assert.deepEqual([refused.status, refused.json], [direct.status, direct.json])
    assert.deepEqual([answered.status, answered.json['id'], (answered.json['outputs'] as { data: number[] }[])[0]?.data], [200, 'g', [5]])
  })

  test('instances of V1 are joined, and the call is translated', async () => {
    const before = await counted()
    const answers = await Promise.all([1, 2, 3, 4].map((at) => post(gateway.urls['http'], '/v1/models/score:predict', JSON.stringify({ instances: [{ X: [at, 3], T: ['a'] }] }), { 'content-type': 'application/json', 'x-rule': 'v1' })))
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 200], JSON.stringify(answers.map(({ json }) => json)))
    assert.deepEqual(answers.map(({ json }) => (json['predictions'] as { Y: number[] }[])[0]?.Y), [[1], [2], [3], [4]])
    assert.equal((await counted()).calls - before.calls, 1)
  })
})

// Copies between two versions of a Triton model, over HTTP with JSON and with binary tensors: what differs is found, and what
// is the same is not.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { MirrorReport } from '../../dataplane/mirror/tally.ts'
import { until } from '../cluster/wait.ts'
import { serviceAt } from '../manifests.ts'
import { startServe, type Serving } from './serve.ts'
import { startTriton, type Triton } from './servers.ts'
import { cannotRun } from './venv.ts'

const rule = (name: string, version: number, more: string) => `
  - name: ${name}
    matches: [{headers: [{name: x-rule, value: ${name}}]}]
    backendRefs:
    - {variant: stable, name: triton, port: 8000, model: {version: "1"}}
    - {variant: shadow, name: triton, port: 8000, weight: 0, model: {version: "${version}"}}
    mirror: {variant: shadow, compare: {${more}}}`

suite('copies to another version of a Triton model', { skip: await cannotRun() }, () => {
  let triton: Triton
  let gateway: Serving
  before(async () => {
    triton = await startTriton()
    const route = `apiVersion: modelroute.io/v1alpha1\nkind: ModelRoute\nmetadata: {name: add}\nspec:\n  rules:${rule('same', 1, '')}${rule('other', 2, '')}${rule('near', 2, 'absolute: "1000"')}`
    gateway = await startServe([route, serviceAt('triton', new URL(triton.http).port)].join('\n---\n'), '--log-level', 'error')
  })
  after(async () => {
    await Promise.all([gateway?.stop(), triton?.stop()])
  })

  /** What the mirror of a rule has said since. */
  async function report(name: string): Promise<MirrorReport | undefined> {
    const { items } = await (await fetch(`${gateway.urls['admin']}/mirrors`)).json() as { items: MirrorReport[] }
    return items.find((one) => one.rule === name)
  }

  const data = [1, 2, 3, 4]
  const json = JSON.stringify({ inputs: ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [data.length], data })) })
  const bytes = Buffer.from(new Float32Array(data).buffer)
  const head = Buffer.from(JSON.stringify({
    inputs: ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [data.length], parameters: { binary_data_size: bytes.length } })),
    parameters: { binary_data_output: true },
  }))

  for (const [what, body, headers] of [
    ['JSON', json, {}],
    ['binary tensors', Buffer.concat([head, bytes, bytes]), { 'inference-header-content-length': String(head.length), 'content-type': 'application/octet-stream' }],
  ] as const) {
    test(`answers in ${what} are compared`, async () => {
      for (const name of ['same', 'other', 'near']) {
        const expected = name === 'other' ? 'mismatch' : 'match'
        const before = (await report(name))?.compared[expected] ?? 0
        // A copy may be left out, where the machine has other things to do.
        await until('five comparisons', async () => {
          const answer = await fetch(`${gateway.urls['http']}/v2/models/add/infer`, { method: 'POST', body, headers: { ...headers, 'x-rule': name } })
          assert.equal(answer.status, 200, await answer.text())
          return ((await report(name))?.compared[expected] ?? 0) >= before + 5
        }, { timeout: 20_000, every: 20 })
        const told = await report(name)
        const { skipped: _, ...compared } = told?.compared ?? {}
        assert.deepEqual(Object.keys(compared), [expected], JSON.stringify(told))
        if (name === 'other') assert.deepEqual(told?.places.map(({ kind, largest }) => [kind, largest]), [['value', 1000]])
      }
    })
  }
})

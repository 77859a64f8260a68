import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ColumnSummary, VersionSummary } from '../dataplane/predictions/drift/summary.ts'
import { predictions, textOf } from './predictions.ts'

const column = (name: string, more: Partial<ColumnSummary>): ColumnSummary => ({ name, kind: 'number', count: 1204, missing: 0, ...more })

const version: VersionSummary = {
  route: 'ml/fraud', rule: 'infer', variant: 'canary', version: '2', requests: 1204, against: { variant: 'stable', version: '1' },
  inputs: [
    column('age', { mean: 41.32, quantiles: { p5: 22, p25: 31, p50: 40, p75: 51, p95: 67 }, overTime: { psi: 0.0312, ks: 0.041 }, between: { psi: 0.0204, ks: 0.0301 } }),
    column('plan', { kind: 'length', count: 1180, missing: 24, mean: 4, top: [{ value: 'gold', share: 0.61 }, { value: 'free', share: 0.39 }], overTime: { psi: 0.4071, ks: 0.02 }, between: { psi: 0.02 } }),
  ],
  outputs: [column('value', { mean: 0.1204, quantiles: { p5: 0.011, p25: 0.05, p50: 0.083, p75: 0.2, p95: 0.4 }, overTime: { psi: 0.0489, ks: 0.06 }, between: { psi: 0.3, ks: 0.21 } })],
  left: 0,
}

test('what has moved is told as docs/predictions.md shows it', () => {
  const docs = readFileSync(join(import.meta.dirname, '../docs/predictions.md'), 'utf8')
  assert.equal(/```text\n(.*?)```/s.exec(docs)?.[1], textOf(version))
})

test('what callers call their features moves no cursor', () => {
  const told = textOf({ ...version, inputs: [column('\u001b[2Ja\n', { top: [{ value: '\r\u0007', share: 1 }] })], left: 3 })
  // oxlint-disable-next-line no-control-regex -- they are what must not be there
  assert.ok(!/[\u0000-\u0009\u000b-\u001f]/.test(told) && told.split('\n').length === 5)
})

test('a proxy is asked, and what it says instead is told', async (t) => {
  let status = 200
  const server = createServer((request, response) => {
    assert.equal(request.url, '/predictions')
    response.writeHead(status).end(status === 200 ? JSON.stringify({ items: [version] }) : 'no such thing')
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  const admin = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  let out = ''
  const ask = (output: 'text' | 'json') => predictions({ admin, output }, (text) => { out = text })
  assert.deepEqual([await ask('text'), out], [0, textOf(version)])
  assert.deepEqual([await ask('json'), JSON.parse(out)], [0, [version]])
  status = 404
  await assert.rejects(ask('text'), /answers 404: no such thing/)
})

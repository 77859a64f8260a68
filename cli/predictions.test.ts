import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ColumnSummary, VersionSummary } from '../dataplane/predictions/drift/summary.ts'
import { textOf } from './predictions.ts'

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

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { MirrorReport } from '../dataplane/mirror/tally.ts'
import { textOf } from './mirrors.ts'

const report: MirrorReport = {
  route: 'ml/fraud', rule: 'infer', variant: 'shadow',
  copies: { answered: 1200, full: 3 }, compared: { match: 1180, mismatch: 19, failed: 1 }, skipped: {},
  labels: { vectors: 1200, labelDiffers: 4, topDiffers: 9 }, similarity: Array<number>(11).fill(0),
  places: [{ place: '/outputs/score', kind: 'value', answers: 17, largest: 0.031 }, { place: '/outputs/classes', kind: 'shape', answers: 2 }],
  samples: [],
}

test('the report of a mirror is told as docs/mirroring.md shows it', () => {
  const docs = readFileSync(join(import.meta.dirname, '../docs/mirroring.md'), 'utf8')
  assert.equal(/```text\n(.*?)```/s.exec(docs)?.[1], textOf(report))
})

test('texts are told by how alike they were, and why nothing was compared', () => {
  const told = textOf({ ...report, compared: { skipped: 2 }, skipped: { too_large: 2 }, places: [], labels: { vectors: 0, labelDiffers: 0, topDiffers: 0 }, similarity: [0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 40] })
  assert.equal(told, 'ml/fraud infer → shadow\n  copies      answered 1200, full 3\n  compared    skipped 2\n  skipped     too_large 2\n  alike       80-90 %: 3, the same: 40\n')
})

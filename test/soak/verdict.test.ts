import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Fault, Outcome } from './faults.ts'
import { judge, Outcomes, written, type Rest } from './verdict.ts'

const outcome = (was: Outcome['was'], more: Partial<Outcome> = {}): Outcome => ({ kind: 'rest', proxy: 0, at: 1, end: 2, was, code: '', detail: '', ...more })
const resting = (growth: number, descriptors = 40): Rest[] => [0, 1, 2, 3].map((at) => ({ at, memory: 50 + at * growth, descriptors: descriptors + (at === 3 ? 0 : descriptors - 40) }))

function verdict(outcomes: readonly Outcome[], rests: readonly Rest[] = resting(0), stood = 0) {
  const all = new Outcomes()
  for (const one of [outcome('right'), ...outcomes]) all.add(one)
  const faults: Fault[] = [{ what: 'proxy', target: 0, from: 0, to: 5 }, { what: 'standstill', target: 0, from: 10, to: 10 + stood }]
  return judge(120, all, faults, rests)
}

test('a run passes where nothing is wrong, unexplained or left behind, and says what it saw', () => {
  const report = verdict([outcome('failed', { code: 'broken' }), outcome('limited')])
  assert.deepEqual([report.problems, report.explained], [[], { proxy: 1 }])
  assert.match(written(report), /^# Soak of 120 minutes: passed\n[^]*\| rest \| 1 \| 1 \| 0 \| 1 \|/)
})

test('each thing that may not be fails it', () => {
  assert.deepEqual(verdict([outcome('wrong')]).problems, ['1 wrong answers'])
  assert.deepEqual(verdict([outcome('failed', { code: 'overloaded' })]).problems, ['1 failures that nothing explains'])
  assert.match(verdict([], resting(2)).problems[0] ?? '', /memory grew by 4\.0 MiB, 2\.00 an hour/)
  assert.match(verdict([], resting(0, 50)).problems[0] ?? '', /60 descriptors became 50/)
  assert.deepEqual(verdict([], resting(0), 360_000).problems, [])
  assert.deepEqual(verdict([], resting(0), 720_000).problems, ['the sender stood still for 10 % of the time'])
  assert.deepEqual(verdict([outcome('failed', { kind: 'events', code: 'broken' })]).problems, ['no request of events was answered'])
})

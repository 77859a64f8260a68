import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import { checkOf } from './check.ts'
import { ConsoleState } from './console.ts'

const flow = {
  requests: 1, failed: 0, refused: 0, inFlight: 0, latency: [0, 1], p50: 0.1, p95: null, p99: null,
  perSecond: { requests: 1, failed: 0, refused: 0, tokens: 0, cost: 0 },
}
const state = {
  at: 1, server: { kind: 'proxy', name: 'p', release: '1', startedAt: 0, ready: true, processes: 1 }, table: { version: 'v', age: 0, routes: 1, rules: 1 },
  window: 1, bounds: [0.1], total: flow, endings: [{ status: 500, code: 'x', count: 1, perSecond: null }],
  traffic: { total: 1, offset: 0, items: [{ route: 'ml/a', rule: 'infer', flow, variants: [{ variant: 's', modelVersion: '', priority: 0, weight: 1, share: null, flow }] }] },
  rollouts: { total: 1, offset: 0, items: [{ route: 'ml/a', rule: 'infer', variants: [{ variant: 's', weight: 1, p95: null }], gates: [{ name: 'g', state: 'passing', message: '', candidate: { value: -1, low: null, high: 2 } }] }] },
  actions: { enabled: false }, explain: 'x',
}
const strange = [undefined, null, true, 'text', '', 0, -1, 1.5, NaN, [], {}, [null], { at: 1 }, { __proto__: { total: 1 } }]

/** The value, each time with one of its parts another one, or gone. */
function* mutants(value: unknown): Generator {
  yield* strange
  if (typeof value !== 'object' || value === null) return
  for (const [key, part] of Object.entries(value)) {
    for (const other of mutants(part)) yield Array.isArray(value) ? value.map((one: unknown, at) => (String(at) === key ? other : one)) : { ...value, [key]: other }
    if (!Array.isArray(value)) yield Object.fromEntries(Object.entries(value).filter(([name]) => name !== key))
  }
}

test('what holds to a schema is the same as for its parser, whatever somebody says in place of it', () => {
  const isState = checkOf(ConsoleState)
  assert.ok(isState(state))
  assert.ok(isState({ ...state, more: 1 }))
  let held = 0
  let count = 0
  for (const mutant of mutants(state)) {
    // As it travels: what JSON does not have cannot come.
    const value: unknown = mutant === undefined ? undefined : JSON.parse(JSON.stringify(mutant))
    assert.equal(isState(value), v.is(ConsoleState, value), JSON.stringify(value))
    count++
    if (isState(value)) held++
  }
  assert.ok(count > 1000 && held > 50, `${held} of ${count}`)
})

test('a schema that it does not know is no schema that everything holds to', () => {
  assert.throws(() => checkOf(v.union([v.string(), v.number()])))
  assert.throws(() => checkOf(v.pipe(v.string(), v.regex(/x/))))
})

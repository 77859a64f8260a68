import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flowOf, noCounts } from '../../console/flow.ts'
import { mergeStates } from '../../console/merge.ts'
import type { ConsoleState, Look } from '../../table/console.ts'
import { forFleet } from './told.ts'

const bounds = [0.001, 0.01, 0.1]
const look: Look = { view: 'traffic', search: '', sort: 'requests', offset: 0, limit: 25 }
const flow = flowOf({ ...noCounts(), requests: 12, recent: { requests: 1000 / 3, failed: 1, refused: 0, tokens: 0, cost: 0 }, latency: [100 / 3, 900 / 3, 0, 0] }, 1.0037, bounds)
const state: ConsoleState = {
  at: 1, server: { kind: 'proxy', name: 'p', release: '0.1.0', startedAt: 0, ready: true, processes: 1 }, table: null, window: 1, bounds, total: flow, endings: [],
  actions: { enabled: false },
}

test('what a proxy tells its fleet has no more digits than anybody sees, and the same quantiles in the sum', () => {
  const items = [{ route: 'ml/fraud', rule: 'infer', flow, variants: [{ variant: 'stable', modelVersion: '', priority: 0, weight: 1, share: 1, flow }] }]
  const told = forFleet({ ...state, traffic: { total: 1, offset: 0, items } }, 'node-1')
  assert.deepEqual(told.traffic?.items[0]?.variants[0]?.flow.latency, [33.21, 298.9, 0, 0])
  const merged = mergeStates([told], look).traffic?.items[0]?.flow
  assert.ok(Math.abs((merged?.p95 ?? 0) - (flow.p95 ?? 0)) < 1e-5)
})

test('of an upstream with thousands of endpoints it tells a few, how many more there are, and of which proxy', () => {
  const endpoints = Array.from({ length: 3000 }, (_, i) => ({ endpoint: `10.0.0.${i}:80`, state: 'healthy', inFlight: 0 }))
  const line = { process: '7', route: 'ml/fraud', rule: 'infer', variant: 'stable', modelVersion: '', circuit: null, inside: null, waiting: null, held: 0, endpoints, omitted: 5 }
  const told = forFleet({ ...state, endpoints: { open: 0, states: [], list: { total: 1, offset: 0, items: [line] } } }, 'node-1')
  const [first] = told.endpoints?.list.items ?? []
  assert.deepEqual([first?.process, first?.endpoints.length, first?.omitted], ['node-1 7', 20, 2985])
})

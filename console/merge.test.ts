import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConsoleState, Look, RuleFlow } from '../table/console.ts'
import { Best } from './best.ts'
import { flowOf, noCounts, quantile } from './flow.ts'
import { mergeStates, whole } from './merge.ts'
import { Sum } from './sum.ts'

const bounds = [0.01, 0.1, 1]
const look: Look = { view: 'traffic', search: '', sort: 'requests', offset: 0, limit: 25 }

/** @param latency of the requests of ten seconds, by bucket */
const flow = (latency: readonly number[]) => {
  const requests = latency.reduce((sum, count) => sum + count, 0)
  return flowOf({ ...noCounts(), requests, recent: { requests, failed: 0, refused: 0, tokens: 0, cost: 0 }, latency: [...latency] }, 10, bounds)
}

function rule(route: string, stable: readonly number[], canary: readonly number[]): RuleFlow {
  const variant = (name: string, weight: number, latency: readonly number[]) => ({ variant: name, modelVersion: '', priority: 0, weight, share: null, flow: flow(latency) })
  return { route, rule: 'infer', flow: flow([...stable].map((count, i) => count + (canary[i] ?? 0))), variants: [variant('stable', 0.9, stable), variant('canary', 0.1, canary)] }
}

function state(items: readonly RuleFlow[], more: Partial<ConsoleState> = {}): ConsoleState {
  return {
    at: 1, server: { kind: 'proxy', name: 'a', release: '1', startedAt: 0, ready: true, processes: 1 }, table: null, window: 10, bounds,
    total: flow([1, 0, 0]), endings: [], actions: { enabled: false }, traffic: { total: items.length, offset: 0, items: [...items] }, ...more,
  }
}

test('processes are added up: requests, shares and percentiles are those of all of them together', () => {
  const merged = mergeStates([state([rule('ml/a', [90, 0, 0, 0], [10, 0, 0, 0])]), state([rule('ml/b', [1], [0]), rule('ml/a', [0, 0, 90, 0], [0, 0, 110, 0])])], look)
  const [first, second] = merged.traffic?.items ?? []
  assert.deepEqual([first?.route, first?.flow.perSecond?.requests, second?.route, merged.traffic?.total, merged.server.processes], ['ml/a', 30, 'ml/b', 2, 2])
  assert.deepEqual(first?.variants.map(({ share }) => share), [180 / 300, 120 / 300])
  assert.ok((first?.flow.p50 ?? 0) > 0.1 && (first?.flow.p50 ?? 0) < 1, 'most of them are in the third bucket')
})

test('what another release counts in other buckets is left out instead of added wrongly', () => {
  const other = { ...state([rule('ml/a', [5], [5])]), bounds: [1] }
  assert.equal(mergeStates([state([rule('ml/a', [90], [10])]), other], look).traffic?.items[0]?.flow.requests, 100)
})

test('a page of several processes is the page of their sum', () => {
  const mine = ['a', 'b', 'c'].map((name, i) => rule(`ml/${name}`, [10 + i], [0]))
  const theirs = ['a', 'b', 'c'].map((name, i) => rule(`ml/${name}`, [[10, 1, 30][i] ?? 0], [0]))
  const second = { ...look, offset: 1, limit: 1 }
  assert.deepEqual(whole(second), { ...look, offset: 0, limit: 2 })
  assert.deepEqual(mergeStates([state(mine), state(theirs)], second).traffic?.items.map(({ route }) => route), ['ml/a'], 'c has 42, a has 20, b has 12')
})

test('what hundreds tell is the same whether it is put together as it comes or all at once', () => {
  const caller = (consumer: string, requests: number) =>
    ({ tenant: 'ml', consumer, requests, rejected: 0, perSecond: { requests, rejected: 0 }, inputTokens: requests, outputTokens: 0, limits: [] })
  const upstream = (index: number, circuit: string) =>
    ({ process: `p${index}`, route: 'ml/a', rule: 'infer', variant: 'stable', modelVersion: '', circuit, inside: null, waiting: null, held: 0, endpoints: [], omitted: 0 })
  // What is the least of each of them is the most of all.
  const told = (i: number) => state(
    [rule('ml/everywhere', [100], [0]), ...Array.from({ length: 30 }, (_, at) => rule(`ml/of-${i % 7}-${at}`, [100 + at * 10], [10]))],
    {
      window: i, endings: Array.from({ length: 12 }, (_, at) => ({ status: 500 + at, code: i % 3 === 0 ? 'a' : 'b', count: i * at, perSecond: null })),
      limits: { list: { total: 1, offset: 0, items: [] }, callers: [caller('everybody', 1), ...Array.from({ length: 20 }, (_, at) => caller(`c-${i}-${at}`, 2 + (at % 2)))] },
      endpoints: { open: 1, states: [{ state: 'healthy', count: 4 }], list: { total: 3, offset: 0, items: [upstream(i, i % 9 === 0 ? 'open' : 'closed')] } },
    },
  )
  const all = [told(0), ...Array.from({ length: 99 }, (_, i) => told(i + 1))] as const
  for (const page of [look, { ...look, sort: 'latency' as const }, { ...look, offset: 20, limit: 10 }]) {
    const sum = new Sum(page)
    assert.equal(sum.state(), undefined)
    for (const one of all) sum.add(one)
    assert.deepEqual(sum.state(), mergeStates(all, page))
  }
  const first = mergeStates(all, look)
  assert.deepEqual([first.traffic?.items[0]?.route, first.limits?.callers[0]?.consumer, first.endpoints?.list.total], ['ml/everywhere', 'everybody', 300])
})

test('a percentile is found within its bucket, and beyond the last bound it is that bound', () => {
  assert.equal(quantile(0.5, [0, 100, 0, 0], [0, 1, 3]), 0.5)
  assert.equal(quantile(0.99, [0, 0, 0, 5], bounds), 1)
  assert.equal(quantile(0.5, [0, 0, 0, 0], bounds), null)
  assert.equal(quantile(0.5, [], bounds), null)
})

test('of many items only those that are shown are held, in their order', () => {
  const best = new Best<number>({ offset: 2, limit: 3 })
  for (let i = 0; i < 1000; i++) best.add(i, i % 100, String(i).padStart(4, '0'))
  assert.equal(best.total, 1000)
  assert.deepEqual(best.page({ offset: 2 }), [299, 399, 499])
})

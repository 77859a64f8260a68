import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { flowOf, noCounts } from '../../console/flow.ts'
import type { ConsoleState, Look, RuleFlow } from '../../table/console.ts'
import { noCounts as noneCounted } from '../../table/measurements.ts'
import type { SeenProxy } from '../push/publish.ts'
import { createFleet, type FleetDeps } from './fleet.ts'
import { History } from './history.ts'
import { rolloutsOf, type RolloutFacts } from './rollouts.ts'

const look: Look = { view: 'traffic', search: '', sort: 'requests', offset: 0, limit: 25 }
const bounds = [0.01, 0.1]

function flow(requests: number): RuleFlow['flow'] {
  return flowOf({ ...noCounts(), requests, recent: { requests, failed: 0, refused: 0, tokens: 0, cost: 0 }, latency: [requests, 0, 0] }, 1, bounds)
}
const rule = (route: string, requests: number): RuleFlow => ({ route, rule: 'infer', flow: flow(requests), variants: [] })
const state = (requests: number, more: Partial<ConsoleState> = {}): ConsoleState => ({
  at: 1, server: { kind: 'proxy', name: 'p', release: '0.1.0', startedAt: 0, ready: true, processes: 1 }, table: null, window: 1, bounds,
  total: flow(requests), endings: [], traffic: { total: 1, offset: 0, items: [rule('ml/fraud', requests)] }, actions: { enabled: false }, explain: 'explain', ...more,
})
const proxy = (node: string, answer: (look: Look) => unknown, more: Partial<SeenProxy> = {}): SeenProxy => ({
  node, gateway: 'default', subscribed: true, acked: new Map(), refused: new Map(), version: 'v1', since: 0, look: (asked) => Promise.resolve(answer(asked)), ...more,
})
const nothing: RolloutFacts = { rollouts: [], judgements: [], counted: () => new Map(), history: () => [], revision: () => undefined }
const fleet = (proxies: readonly SeenProxy[], more: Partial<FleetDeps> = {}) => createFleet({
  proxies: () => proxies, version: () => 'v1', table: () => ({ routes: 2, rules: 3 }), ready: () => true,
  rollouts: () => nothing, actions: { enabled: false }, ...more,
})

suite('what a fleet shows', () => {
  test('is the sum of what its proxies tell, and which of them is behind', async () => {
    const seen = await fleet([
      proxy('a', () => state(30)), proxy('b', () => state(12), { version: 'v0', refused: new Map([['ml/x', 'why']]) }),
      proxy('silent', () => undefined), proxy('of-tomorrow', () => ({ at: 'then' })),
    ])(look)
    assert.deepEqual([seen.server.kind, seen.server.processes, seen.total.perSecond?.requests, seen.traffic?.items[0]?.flow.perSecond?.requests], ['fleet', 2, 42, 42])
    assert.deepEqual(seen.proxies?.map(({ node, current, refused, requestsPerSecond }) => [node, current, refused, requestsPerSecond]), [
      ['a', true, 0, 30], ['b', false, 1, 12], ['silent', true, 0, null], ['of-tomorrow', true, 0, null],
    ])
    assert.deepEqual(seen.table, { version: 'v1', age: 0, routes: 2, rules: 3 })
    assert.equal(seen.explain, undefined, 'a controller answers no such question')
  })

  test('is there without any proxy, too', async () => {
    for (const view of ['traffic', 'rollouts', 'limits', 'endpoints', 'caches', 'table'] as const) {
      const seen = await fleet([])({ ...look, view })
      assert.deepEqual([seen.server.processes, seen.total.requests, seen.window], [0, 0, null])
    }
  })

  test('is asked for once, however many look at it', async () => {
    let asked = 0
    let now = 0
    const watch = fleet([proxy('a', () => { asked++; return state(1) })], { now: () => now })
    await Promise.all([watch(look), watch(look), watch({ ...look })])
    assert.equal(asked, 1)
    now = 1000
    await watch(look)
    assert.equal(asked, 2)
  })

  test('takes so little of each proxy that hundreds of them are not too much', async () => {
    const asked: Look[] = []
    const many = Array.from({ length: 200 }, (_, i) => proxy(`p${i}`, (each) => { asked.push(each); return state(1) }))
    const watch = fleet(many)
    await watch({ ...look, limit: 100 })
    assert.equal(asked.reduce((sum, { limit }) => sum + limit, 0), 6000)
    asked.length = 0
    await watch({ ...look, view: 'table', limit: 100 })
    assert.deepEqual(asked.map(({ limit }) => limit).sort((a, b) => b - a).slice(0, 2), [100, 0], 'what all have, one tells')
  })
})

test('a rollout is shown with its gates in figures, what may be done, what it did, and where it stands', () => {
  const counts = { ...noneCounted(0), requests: 50, errors: 4 }
  const rolled = {
    route: 'ml/fraud', rule: 'infer',
    state: {
      specHash: 'abc', phase: 'AwaitingApproval', step: 1, startedAt: '2026-01-01T00:00:00Z', message: 'waits',
      variants: [{ variant: 'stable', share: 950_000, promoted: 1_000_000, reference: 's' }, { variant: 'canary', share: 50_000, promoted: 0, reference: 'c' }],
    },
    delivery: {
      specHash: 'abc', aims: [{ variant: 'stable', target: 0, reference: 's' }, { variant: 'canary', target: 1_000_000, reference: 'c' }],
      plan: { candidate: 'canary', paused: false, steps: [{ share: 50_000, hold: 5_400_000, approval: true }] },
    },
  } as const
  const history = new History()
  history.add('ml/fraud', 'infer', { type: 'Normal', reason: 'RolloutStep', message: 'step 1' }, new Date(0))
  const { items, total } = rolloutsOf({ ...look, view: 'rollouts' }, {
    rollouts: [{ ...rolled, route: 'a/idle', state: { ...rolled.state, phase: 'Stable' } }, rolled],
    judgements: [{ route: 'ml/fraud', rule: 'infer', judgement: {
      at: 0, verdict: 'wait', action: 'stay', why: '',
      metrics: [{ name: 'errors', verdict: 'wait', bound: 'at most 0.01', candidate: { value: 0.08, low: 0.02, high: Number.POSITIVE_INFINITY } }],
    } }],
    counted: () => new Map([['canary', counts]]), history: (route, name) => history.of(route, name), revision: () => 7,
  }, [{ route: 'ml/copied', rule: 'infer', variants: [], mirror: { variant: 'shadow', percent: 10 } }])
  assert.equal(total, 3)
  assert.deepEqual(items.map(({ route }) => route), ['ml/fraud', 'a/idle', 'ml/copied'], 'what is under way comes first')
  const [first] = items
  assert.deepEqual(first?.gates, [{ name: 'errors', bound: 'at most 0.01', state: 'waiting', message: 'not decided yet', candidate: { value: 0.08, low: 0.02, high: null }, stable: null }])
  assert.deepEqual(first?.steps, [{ percent: 5, hold: '1h30m', approval: true }])
  assert.deepEqual(first?.commands, ['promote', 'promote-full', 'pause', 'abort', 'undo', 'set-weight'])
  assert.deepEqual(first?.variants[1], { variant: 'canary', weight: 0.05, target: 1, requests: 50, failed: 4, p95: null })
  assert.deepEqual([first?.history?.[0]?.message, first?.revision, first?.specHash], ['step 1', 7, 'abc'])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Route, Rule, Variant } from '../../table/route.ts'
import type { Active } from '../store.ts'
import { guarding } from './guard.ts'

const variant = (name: string, service: string, more: Partial<Variant> = {}): Variant =>
  ({ name, weight: 500_000, priority: 0, target: { kind: 'endpoints', set: `ml/${service}:8000` }, ...more })
const rule = (name: string, variants: readonly Variant[], more: Partial<Rule> = {}): Rule => ({
  name, matches: [{ path: { type: 'Prefix', value: `/${name}` }, headers: [], query: [] }], variants, overrides: [], balance: { policy: 'LeastRequest' }, timeouts: {}, ...more,
})
const route = (...rules: readonly Rule[]): Route => ({ id: 'ml/a', tenant: 'ml', generation: 1, created: '', hostnames: [], rules })
const table = (...routes: readonly Route[]): Active => ({
  version: 'v', credentials: new Map(), secrets: new Map(), endpoints: new Map([['ml/one:8000', { id: 'ml/one:8000', endpoints: [{ address: '10.0.0.9', port: 8000 }] }]]),
  routes: new Map(routes.map((each) => [each.id, each])),
})

function inForce(guard: Parameters<typeof guarding>[0], ...tables: readonly Active[]): Active[] {
  const seen: Active[] = []
  const activate = guarding(guard, (next) => {
    seen.push(next)
    return [{ id: 'ml/a', message: 'told' }]
  })
  for (const one of tables) assert.deepEqual(activate(one), [{ id: 'ml/a', message: 'told' }])
  return seen
}

test('whatever a route leads to, a guard sends it to its own model server', () => {
  const auth = { anyOf: [], anonymous: true } as unknown as NonNullable<Rule['auth']>
  const [active] = inForce({ port: 9000 }, table(route(rule('infer', [
    variant('old', 'one', { weight: 100_000 }),
    variant('new', 'two', { weight: 900_000, model: { name: 'm' }, credentials: { kind: 'static', value: { secret: 'ml/s', key: 'k' }, header: 'x', scheme: '' }, target: { kind: 'endpoints', set: 'ml/two:1', http2: true, tls: { serverName: 'x' } } }),
  ], {
    auth, overrides: [{ header: 'x', value: 'y', variant: 'old' }], split: { by: 'Principal' }, mirror: { variant: 'old', percent: 5 }, hedge: { after: 1, budgetPercent: 5 }, sizeLimits: { request: 5 },
  }))))
  assert.deepEqual([...active?.endpoints.values() ?? []], [{ id: 'sidecar', endpoints: [{ address: '127.0.0.1', port: 9000 }] }])
  const [own] = active?.routes.get('ml/a')?.rules ?? []
  assert.deepEqual(own, rule('infer', [{ name: 'new', weight: 1_000_000, priority: 0, model: { name: 'm' }, target: { kind: 'endpoints', set: 'sidecar', http2: true } }], { auth, sizeLimits: { request: 5 } }))
})

test('a guard of one Service serves no rule that does not lead there, and none that asks several', () => {
  const [active] = inForce({ port: 1, service: 'one' }, table(route(
    rule('mine', [variant('a', 'two'), variant('b', 'one', { weight: 0, priority: 1 })]), rule('theirs', [variant('a', 'one-more')]), rule('graph', [], { compose: {} as never }),
  )))
  assert.deepEqual(active?.routes.get('ml/a')?.rules.map(({ name, variants }) => [name, variants.map((one) => [one.name, one.weight])]), [['mine', [['b', 1_000_000]]]])
})

test('a route that did not change is the same to the runtime, which then builds nothing', () => {
  const [a, b] = [route(rule('x', [variant('a', 'one')])), { ...route(), id: 'ml/b' }]
  const [one, two] = inForce({ port: 1 }, table(a), table(a, b))
  assert.equal(one?.routes.get('ml/a'), two?.routes.get('ml/a'))
  assert.equal(one?.endpoints, two?.endpoints)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Check, CheckTerms } from '../health/checks.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { TryOutcome } from './backend.ts'
import type { Group } from './groups.ts'
import { Upstreams, type Upstream } from './pool.ts'
import { Shield, type ShieldTerms } from './shield.ts'

const passive = { consecutiveErrors: 2, window: 10_000, ejectFor: 1000, maxEjectedPercent: 50 }
const breaker = { maxPending: 0, errorPercent: 50, minRequests: 10, openFor: 1000 }
const check: CheckTerms = {
  tenant: 'ml', active: { type: 'HTTP', path: '/', interval: 1000, timeout: 1000, healthy: 1, unhealthy: 1 }, served: undefined, host: undefined, credentials: undefined,
}
const answered = (status: number, firstByteMs = 1): TryOutcome => ({ kind: 'answered', status, firstByteMs, totalMs: firstByteMs, headers: [], trailers: [] })
const reset: TryOutcome = { kind: 'failed', why: 'reset' }

/** A request, as far as a shield looks at one. */
const request = () => ({ ended: false, body: undefined, onEnd() {} }) as unknown as Exchange

type Known = { -readonly [K in keyof Check]: Check[K] } & { changed: () => void }

/** A shield of so many endpoints, whose time and checks are what a test says they are. */
function shieldOf(count: number, terms: Partial<ShieldTerms>) {
  const upstreams = new Upstreams()
  const endpoint = (n: number) => upstreams.hold('ml', { origin: `http://10.0.0.${n}:8080` })
  const group: Group = { members: Array.from({ length: count }, (_, n) => endpoint(n)), followers: new Set() }
  const clock = { now: 1000 }
  const checks = new Map<Upstream, Known>()
  const changes: unknown[] = []
  const shield = new Shield(group, { health: undefined, breaker: undefined, wakeUp: undefined, check: undefined, ...terms }, {
    now: () => clock.now,
    onChange: (change) => changes.push(change),
    checks: {
      hold(upstream, _terms, changed) {
        const known: Known = { key: upstream.key, state: 'unknown', why: '', recoveries: 0, changed }
        checks.set(upstream, known)
        return known
      },
      release(released) {
        for (const [upstream, known] of checks) if (known === released) checks.delete(upstream)
      },
    },
  })
  return {
    shield, clock, checks, changes, endpoint,
    one: (n: number) => group.members[n] ?? assert.fail(),
    become: (members: readonly Upstream[]) => {
      group.members = members
      for (const follow of group.followers) follow()
    },
    answer: (n: number, state: 'healthy' | 'unhealthy') => {
      const known = checks.get(group.members[n] ?? assert.fail())
      assert.ok(known)
      known.state = state
      if (state === 'healthy') known.recoveries++
      known.changed()
    },
    /** Requests to one endpoint that end in this way. */
    settle: (upstream: Upstream, outcome: TryOutcome, times = 1) => {
      for (let i = 0; i < times; i++) shield.settle(upstream, request(), outcome)
    },
  }
}

const states = ({ shield }: ReturnType<typeof shieldOf>) => shield.report().endpoints.map(({ state }) => state)

test('who is out comes back by one request at a time, and what was on its way meanwhile says nothing', () => {
  const world = shieldOf(2, { health: { passive } })
  const { shield, clock, one, settle } = world
  settle(one(0), reset, 2)
  assert.deepEqual(states(world), ['ejected', 'healthy'])
  assert.deepEqual(shield.usable, [one(1)])
  settle(one(0), answered(200))
  assert.deepEqual(states(world), ['ejected', 'healthy'], 'an answer to a request of before')
  assert.equal(shield.trial(request(), undefined), undefined)
  clock.now += 1000
  assert.deepEqual(states(world), ['half_open', 'healthy'])
  const [first, second] = [request(), request()]
  assert.equal(shield.trial(first, undefined), one(0))
  assert.equal(shield.trial(second, undefined), undefined)
  shield.settle(one(0), first, { kind: 'cancelled' })
  assert.equal(shield.trial(second, [one(0)]), undefined, 'not for who has tried it')
  assert.equal(shield.trial(second, undefined), one(0))
  shield.settle(one(0), second, answered(503))
  clock.now += 1999
  assert.equal(shield.trial(first, undefined), undefined, 'the second time is longer')
  clock.now += 1
  assert.equal(shield.trial(first, undefined), one(0))
  shield.settle(one(0), first, answered(200))
  assert.deepEqual(shield.usable, [one(0), one(1)])
})

test('of the endpoints of a variant those that fail are put out; where all do, the circuit opens', async () => {
  const { shield, changes, one, settle, clock } = shieldOf(3, { breaker })
  for (let i = 0; i < 5; i++) {
    settle(one(0), answered(500))
    settle(one(1), answered(200))
    settle(one(2), answered(500))
  }
  assert.deepEqual(shield.usable, [one(1)])
  assert.equal(await shield.enter(request(), Number.POSITIVE_INFINITY), undefined, 'closed')
  settle(one(1), answered(500), 20)
  const refused = await shield.enter(request(), Number.POSITIVE_INFINITY)
  assert.equal(refused?.code, 'circuit_open')
  assert.deepEqual(refused.headers, ['retry-after', '1'])
  assert.deepEqual(changes.at(-1), { circuit: 'open', why: 'errors' })
  clock.now += 1000
  const trial = request()
  assert.equal(await shield.enter(trial, Number.POSITIVE_INFINITY), undefined)
  assert.equal((await shield.enter(request(), Number.POSITIVE_INFINITY))?.code, 'circuit_open')
  shield.leave(trial)
  const next = request()
  assert.equal(await shield.enter(next, Number.POSITIVE_INFINITY), undefined, 'one that came to nothing lets the next try')
  shield.settle(one(1), next, answered(500))
  shield.settle(one(0), next, answered(200))
  assert.deepEqual(changes.at(-1), { circuit: 'closed' }, 'its second try went well')
})

test('of gRPC the status counts, wherever it stands; what is the fault of requests does not', () => {
  const world = shieldOf(2, { health: { passive } })
  const { settle, one } = world
  const said = (status: string, where: 'headers' | 'trailers'): TryOutcome => ({ kind: 'answered', status: 200, firstByteMs: 1, totalMs: 1, headers: [], trailers: [], [where]: ['grpc-status', status] })
  for (const status of ['3', '4', '5', '8', '12']) settle(one(0), said(status, 'trailers'), 5)
  for (const status of [400, 404, 429, 501]) settle(one(0), answered(status), 5)
  assert.deepEqual(states(world), ['healthy', 'healthy'])
  settle(one(0), said('14', 'headers'))
  settle(one(0), said('13', 'trailers'))
  assert.deepEqual(states(world), ['ejected', 'healthy'])
})

test('what is unhealthy is never asked, and counts for no cap; what was not asked yet is waited for', async () => {
  const world = shieldOf(3, { health: { passive }, check })
  const { shield, one, answer, settle } = world
  let told: string | undefined = 'waits'
  void Promise.resolve(shield.enter(request(), Number.POSITIVE_INFINITY)).then((failed) => { told = failed?.code })
  await new Promise(setImmediate)
  assert.equal(told, 'waits')
  answer(0, 'healthy')
  await new Promise(setImmediate)
  assert.equal(told, undefined)
  answer(1, 'healthy')
  answer(2, 'unhealthy')
  assert.deepEqual(shield.usable, [one(0), one(1)])
  settle(one(0), reset, 2)
  settle(one(1), reset, 2)
  assert.deepEqual(states(world), ['ejected', 'healthy', 'unhealthy'], 'half of the two that are left')
  answer(1, 'unhealthy')
  assert.equal((await shield.enter(request(), Number.POSITIVE_INFINITY))?.code, 'circuit_open', 'one of them may try soon')
  answer(0, 'unhealthy')
  assert.equal((await shield.enter(request(), Number.POSITIVE_INFINITY))?.code, 'no_endpoints')
  answer(0, 'healthy')
  assert.deepEqual(shield.usable, [one(0)], 'it was restarted: it is back')
})

test('endpoints that go are forgotten with their checks, those that stay keep what is known of them', () => {
  const world = shieldOf(4, { health: { passive }, check })
  const { shield, one, answer, settle, become, checks, endpoint } = world
  const [a, b, c] = [one(0), one(1), one(2)]
  for (let n = 0; n < 4; n++) answer(n, 'healthy')
  settle(b, reset, 2)
  become([a, b, endpoint(9)])
  assert.deepEqual([checks.size, shield.usable], [3, [a]])
  assert.deepEqual(states(world), ['healthy', 'ejected', 'unknown'])
  settle(c, reset, 5)
  shield.close()
  assert.equal(checks.size, 0)
  shield.settle(a, request(), answered(200))
})

test('other terms go on with what is known, as far as they still ask for it', async () => {
  const world = shieldOf(2, { health: { passive }, breaker: { ...breaker, maxRequests: 1, maxPending: 1 } })
  const { shield, one, settle } = world
  settle(one(0), reset, 2)
  const first = request()
  assert.equal(shield.enter(first, Number.POSITIVE_INFINITY), undefined)
  const second = shield.enter(request(), Number.POSITIVE_INFINITY)
  assert.ok(second instanceof Promise)
  shield.configure({ health: { passive: { ...passive, consecutiveErrors: 9 } }, breaker: { ...breaker, maxRequests: 2 }, wakeUp: undefined, check: undefined })
  assert.equal(await second, undefined, 'there is a place now')
  assert.deepEqual(states(world), ['ejected', 'healthy'])
  shield.configure({ health: undefined, breaker: undefined, wakeUp: { hold: 1000 }, check: undefined })
  assert.deepEqual(shield.usable, [one(0), one(1)])
})

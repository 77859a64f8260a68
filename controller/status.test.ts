import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ModelRoute } from '../crds/types.gen.ts'
import { validateModelRoute, validateRateLimitPolicy } from '../crds/validate.ts'
import type { PolicyOutcome, RouteOutcome, Verdict } from './compile/compiled.ts'
import type { ProxyView } from './push/publish.ts'
import { policyStatus, reaches, restless, routeStatus, standings } from './status.ts'

const spec: ModelRoute['spec'] = { rules: [{ name: 'infer', backendRefs: [{ variant: 'stable', name: 'fraud', port: 8000 }] }] }
const yes = (reason: string): Verdict => ({ status: 'True', reason, message: '' })
const no = (reason: string, message: string): Verdict => ({ status: 'False', reason, message })
const now = new Date('2026-05-01T12:00:00.123Z')

function outcomeOf(more: Partial<RouteOutcome> = {}): RouteOutcome {
  return {
    generation: 7,
    gateways: ['default'],
    problems: [],
    accepted: yes('Accepted'),
    resolvedRefs: yes('ResolvedRefs'),
    weights: 'infer: stable=95 canary=5',
    rules: [{
      name: 'infer',
      backends: [
        { variant: 'stable', effectiveWeight: 950_000, endpoints: 3 },
        { variant: 'canary', effectiveWeight: 50_000, endpoints: 1 },
      ],
    }],
    inForce: spec,
    ...more,
  }
}

const proxy = (node: string, acked: string | undefined, refused?: string, gateway = 'default'): ProxyView => ({
  node,
  gateway,
  subscribed: true,
  acked: new Map(acked === undefined ? [] : [['ml/fraud', acked]]),
  refused: new Map(refused === undefined ? [] : [['ml/fraud', refused]]),
  version: null,
})

function statusOf(outcome: RouteOutcome, proxies: readonly ProxyView[], published: Record<string, string> = { default: 'h1' }) {
  const hashes = (gateway: string) => new Map(published[gateway] === undefined ? [] : [['ml/fraud', published[gateway]]])
  return routeStatus({ outcome, reach: reaches(proxies, hashes)('ml/fraud', outcome.gateways), now })
}

const programmedOf = (...args: Parameters<typeof statusOf>) => {
  const { status, reason, message } = statusOf(...args).conditions?.find(({ type }) => type === 'Programmed') ?? {}
  return [status, reason, message]
}

describe('the status of a route', () => {
  test('says everything of a healthy one', () => {
    const at = { observedGeneration: 7, lastTransitionTime: '2026-05-01T12:00:00Z' }
    assert.deepEqual(statusOf(outcomeOf(), [proxy('p1', 'h1'), proxy('p2', 'h1')]), {
      observedGeneration: 7,
      weights: 'infer: stable=95 canary=5',
      dataPlane: { programmed: 2, total: 2, rejected: 0, version: 'h1' },
      rules: [{
        name: 'infer',
        phase: 'Stable',
        backends: [
          { variant: 'stable', effectiveWeight: 950_000, promotedWeight: 950_000, endpoints: 3 },
          { variant: 'canary', effectiveWeight: 50_000, promotedWeight: 50_000, endpoints: 1 },
        ],
      }],
      conditions: [
        { type: 'Accepted', status: 'True', reason: 'Accepted', message: '', ...at },
        { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: '', ...at },
        { type: 'Programmed', status: 'True', reason: 'Programmed', message: 'In force on 2 of 2 proxies.', ...at },
        { type: 'Progressing', status: 'False', reason: 'Stable', message: 'No rollout is in progress.', ...at },
      ],
    })
  })

  test('is programmed only when every proxy of its gateways acknowledged the very text that is published', () => {
    assert.deepEqual(programmedOf(outcomeOf(), [proxy('p1', 'h1'), proxy('p2', 'h0')]), ['False', 'Pending', 'In force on 1 of 2 proxies.'])
    assert.deepEqual(programmedOf(outcomeOf(), [proxy('p1', undefined)]), ['False', 'Pending', 'In force on 0 of 1 proxies.'])
    assert.deepEqual(programmedOf(outcomeOf(), [proxy('p1', 'h1')], {}), ['False', 'Pending', 'In force on 0 of 1 proxies.'])
  })

  test('knows no data plane while no proxy of its gateways is connected, whoever else is', () => {
    const expected = ['Unknown', 'NoDataPlane', 'No proxy of default is connected.']
    assert.deepEqual(programmedOf(outcomeOf(), []), expected)
    assert.deepEqual(programmedOf(outcomeOf(), [proxy('p1', 'h1', undefined, 'edge')], { default: 'h1', edge: 'h1' }), expected)
  })

  test('counts the proxies of all its gateways, each against its own table', () => {
    const outcome = outcomeOf({ gateways: ['default', 'edge'] })
    const proxies = [proxy('p1', 'h1'), proxy('p2', 'h2', undefined, 'edge'), proxy('p3', 'h1', undefined, 'edge')]
    const status = statusOf(outcome, proxies, { default: 'h1', edge: 'h2' })
    assert.deepEqual(status.dataPlane, { programmed: 2, total: 3, rejected: 0, version: 'h1' })
  })

  test('counts alike whether a proxy says the published map or one of the same content', () => {
    const hashes = new Map([['ml/fraud', 'h1']])
    const of = (acked: ReadonlyMap<string, string>, id = 'ml/fraud') => (
      reaches([{ ...proxy('p1', 'h1'), acked }], () => hashes)(id, ['default'])
    )
    assert.deepEqual(of(hashes), of(new Map(hashes)))
    assert.deepEqual(of(hashes, 'ml/other'), { programmed: 0, total: 1, rejected: 0, version: '', refusal: '' })
  })

  test('names the first proxy that refused it, and why', () => {
    const proxies = [proxy('p1', 'h1'), proxy('p2', 'h0', 'bad regex'), proxy('p3', 'h0', 'bad regex')]
    assert.deepEqual(programmedOf(outcomeOf(), proxies), [
      'False', 'Rejected', 'Refused by p2: bad regex (and 1 more); in force on 1 of 3 proxies.',
    ])
    assert.equal(statusOf(outcomeOf(), proxies).dataPlane?.rejected, 2)
  })

  test('of nothing in force is not programmed, with or without proxies', () => {
    const { inForce: _none, ...outcome } = outcomeOf({ accepted: no('Invalid', 'spec.rules[0]: no') })
    const expected = ['False', 'Rejected', 'Nothing of the route is in force: spec.rules[0]: no']
    assert.deepEqual(programmedOf(outcome, [proxy('p1', undefined)], {}), expected)
    assert.deepEqual(programmedOf(outcome, [], {}), expected)
  })

  test('of a generation that was not accepted is not programmed, though the one before it is in force', () => {
    const outcome = outcomeOf({ accepted: no('Invalid', 'no such header') })
    assert.deepEqual(programmedOf(outcome, [proxy('p1', 'h1')]), [
      'False', 'Rejected', 'The last good version stays in force on 1 of 1 proxies; this one was not accepted: no such header',
    ])
    const asked = outcomeOf({ accepted: no('Invalid', 'spec.rules[0].wieght: unknown field; did you mean weight? The last good version stays in force') })
    assert.deepEqual(programmedOf(asked, [proxy('p1', 'h1')])[2],
      'The last good version stays in force on 1 of 1 proxies; this one was not accepted: spec.rules[0].wieght: unknown field; did you mean weight?')
  })

  test('says PartiallyInvalid only when it is', () => {
    const types = (outcome: RouteOutcome) => statusOf(outcome, []).conditions?.map(({ type }) => type)
    const partiallyInvalid = { status: 'True', reason: 'UnsupportedValue', message: 'Fall Back: rule x' } as const
    assert.ok(types(outcomeOf({ partiallyInvalid }))?.includes('PartiallyInvalid'))
    assert.ok(!types(outcomeOf({ partiallyInvalid: { ...partiallyInvalid, status: 'False' } }))?.includes('PartiallyInvalid'))
    assert.ok(!types(outcomeOf())?.includes('PartiallyInvalid'))
  })

  test('keeps the time of a condition until its status changes, whatever else of it does', () => {
    const outcome = outcomeOf()
    const previous = statusOf(outcome, [proxy('p1', 'h0')])
    const later = new Date('2026-05-01T13:00:00Z')
    const hashes = () => new Map([['ml/fraud', 'h1']])
    const reach = reaches([proxy('p1', 'h1')], hashes)('ml/fraud', ['default'])
    const next = routeStatus({ outcome: { ...outcome, generation: 8 }, reach, previous, now: later })
    assert.deepEqual(next.conditions?.map(({ type, lastTransitionTime, observedGeneration }) => [type, lastTransitionTime, observedGeneration]), [
      ['Accepted', '2026-05-01T12:00:00Z', 8],
      ['ResolvedRefs', '2026-05-01T12:00:00Z', 8],
      ['Programmed', '2026-05-01T13:00:00Z', 8],
      ['Progressing', '2026-05-01T12:00:00Z', 8],
    ])
  })

  test('fits the schema, however long what tenants wrote', () => {
    const long = '🦀'.repeat(50_000)
    const status = statusOf(outcomeOf({ accepted: no('Invalid', long), weights: long }), [proxy('p1', undefined, long)])
    const route = { apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'fraud' }, spec, status }
    assert.deepEqual(validateModelRoute(route), [])
    assert.ok(status.conditions?.[0]?.message.isWellFormed())
    assert.ok(status.weights?.isWellFormed())
  })
})

describe('the status of a policy', () => {
  const outcome: PolicyOutcome = {
    generation: 3,
    problems: [],
    accepted: yes('Accepted'),
    targets: [
      { name: 'fraud', accepted: true, reason: 'Accepted' },
      { name: 'churn', sectionName: 'infer', accepted: true, reason: 'Accepted' },
    ],
  }
  const programmed = (some: PolicyOutcome, routes: Record<string, boolean>) => {
    const status = policyStatus({ outcome: some, programmed: name => routes[name], now })
    const policy = {
      apiVersion: 'modelroute.io/v1alpha1',
      kind: 'RateLimitPolicy',
      metadata: { name: 'tiers' },
      spec: {
        targetRefs: [{ group: 'modelroute.io', kind: 'ModelRoute', name: 'fraud' }],
        limits: [{ name: 'daily', rate: { requests: 1, window: '24h' } }],
      },
      status,
    }
    assert.deepEqual(validateRateLimitPolicy(policy), [])
    const condition = status.conditions?.find(({ type }) => type === 'Programmed')
    return [condition?.status, condition?.reason]
  }

  test('is programmed where every target is', () => {
    assert.deepEqual(programmed(outcome, { fraud: true, churn: true }), ['True', 'Programmed'])
    assert.deepEqual(programmed(outcome, { fraud: true, churn: false }), ['False', 'PartiallyProgrammed'])
    assert.deepEqual(programmed(outcome, { fraud: false }), ['False', 'Pending'])
  })

  test('that was not accepted limits nothing', () => {
    const refused = { ...outcome, accepted: no('UnsupportedValue', 'spec.limits[0].cost') }
    assert.deepEqual(programmed(refused, { fraud: true, churn: true }), ['False', 'Rejected'])
  })

  test('lists its targets with the rule where one is named', () => {
    const status = policyStatus({ outcome, programmed: () => true, now })
    assert.deepEqual(status.targets, outcome.targets)
    assert.equal(status.observedGeneration, 3)
    assert.deepEqual(status.conditions?.map(({ type }) => type), ['Accepted', 'Programmed'])
  })
})

describe('what has to be looked at again', () => {
  const published = new Map([['ml/fraud', 'h1'], ['shop/c', 'h1']])
  const standing = (...proxies: ProxyView[]) => standings(proxies, () => published)
  const restlessOf = (before: ReturnType<typeof standing>, after = before) => {
    const ids = restless(before, after)
    return ids && [...ids].sort()
  }

  test('is each route that a proxy lacked, whatever fleet has others that lack the same', () => {
    // As proxies that have just come have it in common.
    const nothing = new Map<string, string>()
    const fresh = { ...proxy('b', undefined, undefined, 'b'), acked: nothing }
    const whole = { ...proxy('a', undefined, undefined, 'a'), acked: published }
    const before = standing({ ...whole, acked: nothing }, fresh)
    assert.deepEqual(restlessOf(standing(whole, fresh)), ['ml/fraud', 'shop/c'])
    assert.deepEqual([...before.values()].map(({ open }) => [...open].sort()), [['ml/fraud', 'shop/c'], ['ml/fraud', 'shop/c']])
    assert.deepEqual(restlessOf(standing(whole, { ...fresh, acked: published })), [])
  })

  test('is nothing of what a sidecar is never to have, and all where one gives way to one of another namespace', () => {
    const sidecar = { ...proxy('s', 'h1'), namespace: 'ml' }
    assert.deepEqual(restlessOf(standing(sidecar)), [])
    assert.deepEqual(restlessOf(standing({ ...sidecar, acked: new Map() })), ['ml/fraud'])
    assert.equal(restlessOf(standing(sidecar), standing({ ...sidecar, namespace: 'shop', acked: new Map() })), undefined)
  })
})

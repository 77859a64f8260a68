/**
 * The CRDs on a real API server: it accepts them (it bounds what their rules may cost), shows them well, and judges
 * objects as the validator for files does.
 */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import * as fc from 'fast-check'
import { invalid } from '../../crds/cases/invalid.ts'
import { mutated } from '../../crds/cases/mutated.ts'
import { rule } from '../../crds/cases/parts.ts'
import { valid } from '../../crds/cases/valid.ts'
import { validateModelRoute, validateRateLimitPolicy } from '../../crds/validate.ts'
import { ApiError } from './api.ts'
import { cannotRun } from './build.ts'
import { startControlPlane } from './control-plane.ts'
import { until } from './wait.ts'
import type { ControlPlane } from './control-plane.ts'

const crds = ['modelroutes', 'ratelimitpolicies'].map((plural) => `${plural}.modelroute.io`)

/** The refusal of the API server, or undefined where it would take the object. */
async function refusal(cluster: ControlPlane, object: unknown): Promise<string | undefined> {
  const { kind } = object as { kind: string }
  const plural = kind === 'RateLimitPolicy' ? 'ratelimitpolicies' : 'modelroutes'
  const path = `/apis/modelroute.io/v1alpha1/namespaces/default/${plural}?dryRun=All&fieldValidation=Strict`
  try {
    await cluster.api.create(path, object)
    return undefined
  } catch (error) {
    if (error instanceof ApiError && (error.code === 400 || error.code === 422)) return error.message
    throw error
  }
}

function validate(object: unknown): string | undefined {
  const { kind } = object as { kind: string }
  const [fault] = kind === 'RateLimitPolicy' ? validateRateLimitPolicy(object) : validateModelRoute(object)
  return fault && `${fault.field}: ${fault.message}`
}

suite('the CRDs on a real API server', { skip: await cannotRun() }, () => {
  let cluster: ControlPlane

  before(async () => {
    cluster = await startControlPlane()
    for (const crd of crds) await cluster.kubectl('apply', '--server-side', '-f', `crds/${crd}.yaml`)
    await cluster.kubectl('wait', '--for=condition=Established', '--timeout=30s', ...crds.map((crd) => `crd/${crd}`))
    await until('kubectl knows the kinds', async () =>
      (await cluster.kubectl('api-resources', '--api-group=modelroute.io')).includes('RateLimitPolicy'))
  })
  after(() => cluster?.stop())

  test('accepted without a complaint about a schema or a rule', async () => {
    for (const crd of crds) {
      const { status } = await cluster.api.get(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${crd}`)
      const bad = (status.conditions as { type: string; status: string; message: string }[])
        .filter(({ type, status }) => status !== 'True' || type === 'NonStructuralSchema')
      assert.deepEqual(bad, [])
    }
  })

  for (const { name, object } of valid) {
    test(`both accept ${name}`, async () => {
      assert.equal(await refusal(cluster, object), undefined)
      assert.equal(validate(object), undefined)
    })
  }

  for (const { name, object } of invalid) {
    test(`both refuse ${name}`, async () => {
      assert.notEqual(await refusal(cluster, object), undefined, 'the API server accepts it')
      assert.notEqual(validate(object), undefined, 'the validator accepts it')
    })
  }

  test('both judge objects changed at random alike', async () => {
    const differ: string[] = []
    let accepted = 0
    for (const object of fc.sample(mutated('spec'), { numRuns: 600, seed: 7 })) {
      const theirs = await refusal(cluster, object)
      const ours = validate(object)
      // The one difference: the API server takes a null of an optional field away, the validator names it.
      if (ours !== undefined && / not null: /.test(ours)) continue
      if (theirs === undefined) accepted += 1
      if ((theirs === undefined) !== (ours === undefined)) {
        differ.push(`API server: ${theirs ?? 'accepts'}\nvalidator: ${ours ?? 'accepts'}\n${JSON.stringify(object)}`)
      }
    }
    assert.deepEqual(differ, [])
    assert.ok(accepted > 60 && accepted < 540, `${accepted} accepted: the changes are too weak or too strong`)
  })

  test('kubectl explain reads well', async () => {
    const rules = await cluster.kubectl('explain', 'modelroute.spec.rules')
    assert.match(rules, /backendRefs\s+<\[\]Object>\n\s+The variants of the model/)
    assert.match(rules, /name\s+<string> -required-/)
    const fields = await cluster.kubectl('explain', 'mrlp.spec.limits.algorithm')
    assert.match(fields, /ENUM:\n\s+FixedWindow\n\s+SlidingWindow\n/)
    assert.match(fields, /Default:\s+FixedWindow\./)
  })

  test('kubectl finds them by short name and category, and shows the state in columns', async () => {
    await cluster.apply(rule())
    const name = 'modelroutes/case'
    const status = {
      status: {
        weights: 'infer: stable=95 canary=5', dataPlane: { programmed: 2, total: 3, rejected: 0, version: 'x' },
        conditions: [{ type: 'Programmed', status: 'False', reason: 'Pending', message: '',
          lastTransitionTime: '2026-01-31T12:00:00Z' }],
      },
    }
    await cluster.api.patch(`/apis/modelroute.io/v1alpha1/namespaces/default/${name}/status`, status)
    const narrow = await cluster.kubectl('get', 'mr')
    assert.match(narrow, /^NAME\s+HOSTNAMES\s+WEIGHTS\s+ROLLOUT\s+PROGRAMMED\s+AGE\n/)
    assert.match(narrow, /case\s+infer: stable=95 canary=5\s+False/)
    const wide = await cluster.kubectl('get', 'mr', '-o', 'wide')
    assert.match(wide, /ACCEPTED\s+RESOLVEDREFS\s+PROXIES\s+CONNECTED\n.*\s2\s+3\s*\n$/)
    assert.match(await cluster.kubectl('get', 'ml'), /case/)
    await assert.doesNotReject(cluster.kubectl('get', 'mrlp'))
    await cluster.kubectl('delete', 'mr', 'case')
  })

  test('server-side apply of one variant leaves the others alone', async () => {
    await cluster.apply(rule())
    const one = { ...rule({ backendRefs: [{ variant: 'canary', weight: 50 }] }) }
    const path = '/apis/modelroute.io/v1alpha1/namespaces/default/modelroutes/case?fieldManager=ci&force=true'
    const { spec } = await cluster.api.patch(path, one, 'apply')
    assert.deepEqual(spec.rules[0].backendRefs.map(({ variant, weight, port }: Record<string, unknown>) =>
      [variant, weight, port]), [['stable', 95, 8000], ['canary', 50, 8000]])
    await cluster.kubectl('delete', 'mr', 'case')
  })
})

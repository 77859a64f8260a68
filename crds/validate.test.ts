import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { invalid } from './cases/invalid.ts'
import { mutated } from './cases/mutated.ts'
import { policy, route, rule } from './cases/parts.ts'
import { valid } from './cases/valid.ts'
import { validateModelRoute, validateRateLimitPolicy } from './validate.ts'
import { modelRoute } from './schema/modelroute.ts'
import { rateLimitPolicy } from './schema/ratelimitpolicy.ts'
import { runs } from '../test/runs.ts'
import type { Node } from './schema/node.ts'
import type { Fault } from './validate.ts'

type Json = Record<string, unknown>

function validate(object: unknown): readonly Fault[] {
  return (object as Json)['kind'] === 'RateLimitPolicy' ? validateRateLimitPolicy(object) : validateModelRoute(object)
}

for (const { name, object } of valid) {
  test(`accepted: ${name}`, () => assert.deepEqual(validate(object), []))
}

for (const { name, object, field, message } of invalid) {
  test(`refused: ${name}`, () => {
    const faults = validate(object)
    assert.ok(faults.length > 0, 'there is a fault')
    const first = faults.find((fault) => fault.field === field)
    assert.ok(first, `a fault at ${field}, not ${JSON.stringify(faults)}`)
    assert.match(first.message, message)
  })
}

test('the accepted objects use every field of every spec', () => {
  const used = new Set<Node>()
  const walk = (node: Node, value: unknown): void => {
    used.add(node)
    if (node.kind === 'list') for (const item of value as unknown[]) walk(node.items, item)
    if (node.kind !== 'object') return
    for (const [name, field] of Object.entries(node.fields)) {
      if (Object.hasOwn(value as Json, name)) walk(field, (value as Json)[name])
    }
  }
  for (const { object } of valid) {
    walk(object['kind'] === 'ModelRoute' ? modelRoute.spec : rateLimitPolicy.spec, object['spec'])
  }
  // A server that is called by a step or for an embedding is described like a variant; one of the three is enough.
  const missing = (node: Node, path: string): string[] => {
    if (!used.has(node)) return [path]
    if (node.kind === 'list') return missing(node.items, `${path}[]`)
    if (node.kind !== 'object' || node.name === 'CalleeRef') return []
    return Object.entries(node.fields).flatMap(([name, field]) => missing(field, `${path}.${name}`))
  }
  const elsewhere = (path: string) =>
    /\.rules\[\]\.(auth|authorization)\.|\.steps\[\]\.retry\.|\.request\.configMapRef/.test(path)
  const all = [...missing(modelRoute.spec, 'ModelRoute'), ...missing(rateLimitPolicy.spec, 'RateLimitPolicy')]
  assert.deepEqual(all.filter((path) => !elsewhere(path)), [])
})

test('every fault of an object is reported at once, structure and rules', () => {
  const faults = validateModelRoute(route({
    rules: [
      { name: 'a', backendRefs: [{ variant: 'a', name: 'a', port: 1, weight: 'x' }] },
      { name: 'b', backendRefs: [{ variant: 'b', name: 'b' }], timeouts: { request: '1s', backendRequest: '2s' } },
    ],
  }))
  assert.deepEqual(faults.map(({ field }) => field),
    ['spec.rules[0].backendRefs[0].weight', 'spec.rules[1].backendRefs[0]', 'spec.rules[1].timeouts.backendRequest'])
})

test('an object of another version or kind is refused', () => {
  assert.deepEqual(validateModelRoute({ ...rule(), apiVersion: 'modelroute.io/v1' }),
    [{ field: 'apiVersion', message: 'must be "modelroute.io/v1alpha1", not "modelroute.io/v1"' }])
  assert.deepEqual(validateModelRoute(policy({})).map(({ field }) => field).slice(0, 1), ['kind'])
})

test('an object without a name is refused, one without a namespace is not', () => {
  assert.deepEqual(validateModelRoute({ ...rule(), metadata: {} }), [{ field: 'metadata.name',
    message: 'is required' }])
  assert.deepEqual(validateModelRoute({ ...rule(), metadata: { name: 'a' } }), [])
})

test("Kubernetes' own metadata is left alone", () => {
  const metadata = { name: 'a', creationTimestamp: null, managedFields: [{}], generation: 4, ownerReferences: [] }
  assert.deepEqual(validateModelRoute({ ...rule(), metadata }), [])
})

test('a status is checked too, since it is trusted afterwards', () => {
  const condition = { type: 'Accepted', status: 'True', reason: 'Accepted', message: '',
    lastTransitionTime: '2026-01-31T12:00:00Z' }
  assert.deepEqual(validateModelRoute({ ...rule(), status: { conditions: [condition] } }), [])
  const wrong = { ...condition, lastTransitionTime: 'now' }
  const faults = validateModelRoute({ ...rule(), status: { conditions: [wrong] } })
  assert.equal(faults[0]?.field, 'status.conditions[0].lastTransitionTime')
})

test('values that are no object at all are refused', () => {
  for (const value of [undefined, null, 0, '', 'x', [], true, Symbol('x'), () => 0]) {
    assert.equal(validateModelRoute(value).length, 1, String(value))
  }
})

// The API server takes a null of an optional field away. Nothing takes it away here, so that it may not pass.
test('a null is refused, with what to do', () => {
  assert.deepEqual(validateModelRoute(route({ ...Object(rule()['spec']), hostnames: null })),
    [{ field: 'spec.hostnames', message: 'must be a list, not null: give it a value or leave it out' }])
})

test('keys named like parts of a prototype are unknown fields, and change nothing', () => {
  const keys = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf']
  for (const key of keys) {
    const text = JSON.stringify(rule()).replace('"name":"infer"', `"${key}":{"a":1},"name":"infer"`)
    const object: unknown = JSON.parse(text)
    const [fault] = validateModelRoute(object)
    assert.equal(fault?.field, `spec.rules[0].${key}`)
    assert.match(fault?.message ?? '', /^unknown field/)
  }
  assert.equal(({} as Json)['a'], undefined)
})

test('a field is never taken from a prototype', () => {
  const inherited = Object.assign(Object.create({ url: 'https://a' }) as Json, { variant: 'a', kind: 'URL' })
  assert.match(validateModelRoute(rule({ backendRefs: [inherited] }))[0]?.message ?? '', /^kind URL needs url/)
})

test('depth, size and circles end in a fault, quickly', () => {
  let deep: unknown = 1
  for (let i = 0; i < 100_000; i++) deep = i % 2 === 0 ? [deep] : { a: deep }
  const circle: Json = {}
  circle['self'] = circle
  let bomb: unknown[] = ['x']
  for (let i = 0; i < 40; i++) bomb = [bomb, bomb, bomb, bomb]
  const large = 'a'.repeat(1_000_000)
  const many = Object.fromEntries(Array.from({ length: 120_000 }, (_, i) => [`k${i}`, 0]))
  const hostile: [string, unknown, RegExp][] = [
    ['deep', rule({ plugins: [{ name: 'a', config: { deep } }] }), /deeper than 100/],
    ['circle', rule({ validation: circle }), /deeper than 100/],
    ['aliases', rule({ matches: bomb }), /more than 100000 values/],
    ['many keys', rule(many), /more than/],
    ['long list', rule({ matches: Array.from({ length: 90_000 }, () => 0) }), /must have at most 64 items/],
    ['long key', rule({ [large]: 1 }), /^unknown field/],
    ['long host', route({ hostnames: [`${large}!`], rules: [] }), /at most 253 characters, has 1000001/],
    ['long regex', rule({ matches: [{ path: { type: 'RegularExpression', value: large } }] }), /at most 1024/],
    ['long duration', rule({ timeouts: { request: '1s'.repeat(500_000) } }), /at most 24/],
    ['long pointer', rule({ matches: [{ body: [{ pointer: `${'/~0'.repeat(300_000)}~` }] }] }), /at most 512/],
    ['two long strings', rule({ name: large, fallbackResponse: { body: large } }), /more than 1500000 characters/],
  ]
  for (const [name, object, message] of hostile) {
    // Of the processor, not of the clock: a busy machine is no fault.
    const began = process.cpuUsage()
    const faults = validateModelRoute(object)
    assert.ok(process.cpuUsage(began).user < 5e6, `${name} took long`)
    assert.ok(faults.length <= 100, `${name} has ${faults.length} faults`)
    assert.ok(faults.some((fault) => message.test(fault.message)), `${name}: ${JSON.stringify(faults.slice(0, 3))}`)
    assert.ok(JSON.stringify(faults).length < 100_000, `${name} repeats what it was given`)
  }
})

test('objects changed at random are judged, never thrown over', () => {
  let refused = 0
  fc.assert(
    fc.property(mutated('all'), (object) => {
      const faults = validate(object)
      if (faults.length > 0) refused += 1
      for (const { field, message } of faults) {
        assert.equal(typeof field, 'string')
        assert.ok(message.length > 0 && message.length < 2_000)
      }
    }),
    { numRuns: runs(500) },
  )
  assert.ok(refused > 100)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import * as fc from 'fast-check'
import { checkerOf, faultsOf } from './schema.ts'

const plenty = { steps: 1_000_000 }

function check(schema: unknown, value: unknown, allowance = plenty) {
  assert.deepEqual(faultsOf(schema), [])
  const checker = checkerOf(schema)
  assert.ok(typeof checker !== 'string')
  return checker.check(value, allowance)
}
const pointers = (schema: unknown, value: unknown) => {
  const outcome = check(schema, value)
  return typeof outcome === 'string' ? outcome : outcome.map(({ pointer }) => pointer)
}
const whys = (schema: unknown) => faultsOf(schema).map(({ path, why }) => `/${path.join('/')} ${why}`)

test('every fault of a body is told with its place, and nothing of its values', () => {
  const schema = {
    type: 'object', required: ['a', 'x/y'], additionalProperties: false,
    properties: { a: { type: 'array', uniqueItems: true, items: { enum: [1, 'two', { k: [3] }] } }, 'x/y': { const: 3 }, n: { type: 'integer', maximum: 5 } },
  }
  assert.equal(check(schema, { a: [1, 'two', { k: [3] }], 'x/y': 3.0, n: -0 }), 'fits')
  assert.deepEqual(pointers(schema, { a: [{ k: ['secret'] }, 1, 1], n: 7, 'z~': 'secret' }), ['/x~1y', '/z~0', '/a/0', '/a', '/n'])
  assert.ok(!JSON.stringify(check(schema, { a: [{ k: ['secret'] }], 'z~': 'secret' })).includes('secret'))
})

test('names that objects inherit are no members, and none of them is a way out', () => {
  const strict = { type: 'object', required: ['constructor'], properties: { toString: { type: 'string' } }, additionalProperties: false }
  assert.deepEqual(pointers(strict, {}), ['/constructor'])
  const hostile: unknown = JSON.parse('{"constructor":1,"__proto__":{"toString":"x"},"valueOf":1}')
  assert.deepEqual(pointers(strict, hostile), ['/constructor', '/__proto__', '/valueOf'])
  assert.equal(check({ enum: [JSON.parse('{"valueOf":1,"__proto__":2}')] }, JSON.parse('{"__proto__":2,"valueOf":1}')), 'fits')
  assert.deepEqual(whys(JSON.parse('{"properties":{"__proto__":{}}}')), ['/properties/__proto__ is a name that cannot be checked'])
  assert.equal('polluted' in {}, false)
})

test('what is wrong with a schema is told with its place', () => {
  assert.deepEqual(whys({ type: 'object', properties: { a: { minimun: 3 } } }), ['/properties/a/minimun is no keyword that is checked here'])
  assert.deepEqual(whys({ properties: { a: { minimum: '3' } } }), ['/properties/a/minimum must be number'])
  assert.deepEqual(whys({ $ref: 'https://example.com/x' }), ['/$ref does not begin with #: only parts of the schema itself are referred to'])
  assert.deepEqual(whys({ properties: { a: { $id: 'x' } } }), ['/properties/a/$id gives a part a name of its own; a schema has one, and parts are reached by # and a pointer'])
  assert.deepEqual(whys({ $dynamicRef: '#a' }), ['/$dynamicRef is no keyword that is checked here'])
  assert.deepEqual(whys({ items: { $ref: '#/$defs/gone' } }), ['/items/$ref leads to no schema: #/$defs/gone'])
  assert.deepEqual(whys({ items: { $ref: '#/items/$ref' } }), ['/items/$ref leads to no schema: #/items/$ref'])
  assert.deepEqual(whys({ anyOf: [{ $ref: '#' }] }), ['/ refers to itself for the same value, and would never be done'])
  assert.match(whys({ pattern: 'a{1,1000}b' })[0] ?? '', /steps; 500 are allowed/)
  assert.match(whys({ patternProperties: { '(?=x)': {} } })[0] ?? '', /RE2 syntax/)
  assert.match(whys({ enum: ['x'.repeat(70_000)] })[0] ?? '', /65536 are allowed/)
  let deep: unknown = {}
  for (let i = 0; i < 100; i++) deep = { items: deep }
  assert.match(whys(deep)[0] ?? '', /nested too deep/)
  assert.match(whys({ anyOf: Array.from({ length: 1001 }, () => ({})) })[0] ?? '', /one schema too many/)
  for (const none of [null, 3, [], 'x', true]) assert.equal(whys(none).length, 1)
})

test('parts of a schema refer to each other by pointer and anchor, and to themselves for what is within', () => {
  const tree = { $defs: { node: { $anchor: 'node', type: 'object', properties: { next: { $ref: '#node' }, 'a/b': { $ref: '#' } } } }, $ref: '#/$defs/node' }
  assert.deepEqual(pointers(tree, { next: { next: { 'a/b': 3 } } }), ['/next/next/a~1b'])
})

test('no schema and no body takes more work than a check is given', () => {
  const bomb: { $defs: Record<string, unknown>; $ref: string } = { $defs: { d40: { type: 'string' } }, $ref: '#/$defs/d0' }
  for (let i = 0; i < 40; i++) bomb.$defs[`d${i}`] = { anyOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] }
  assert.equal(check(bomb, 3, { steps: 20_000 }), 'costly')
  const rows = Array.from({ length: 3000 }, (_, i) => ({ id: i, deep: [[i]] }))
  assert.equal(check({ uniqueItems: true }, rows), 'fits')
  assert.equal(check({ uniqueItems: true }, rows, { steps: 3000 }), 'costly')
  assert.equal(check({ items: { pattern: '(x+x+)+y' } }, ['x'.repeat(100_000)], { steps: 100 }), 'costly')
  assert.equal(check({ patternProperties: { '^a': {}, '^b': {} } }, Object.fromEntries(rows.map(({ id }) => [`k${id}`, id])), { steps: 3000 }), 'costly')
  let nested: unknown = []
  for (let i = 0; i < 100_000; i++) nested = [nested]
  assert.equal(check({ type: 'array', items: { $ref: '#' } }, nested, { steps: 10_000_000 }), 'costly')
  let time = 0
  const checker = checkerOf({ items: { type: 'number' } })
  assert.ok(typeof checker !== 'string')
  assert.equal(checker.check(Array.from({ length: 10_000 }, () => 1), { steps: 1_000_000, until: 3, now: () => time++ }), 'costly')
})

test('of a body that is wrong everywhere only so much is told', () => {
  const outcome = check({ items: { type: 'string', minLength: 3 } }, Array.from({ length: 5000 }, () => ''))
  assert.ok(typeof outcome !== 'string' && outcome.length === 16)
  const endless = check({ items: { type: 'string' } }, Array.from({ length: 100_000 }, () => 3))
  assert.deepEqual(endless, [{ pointer: '/0', why: 'must be string' }])
})

const part = fc.letrec((tie) => ({
  schema: fc.oneof({ maxDepth: 3 },
    fc.constantFrom<object | boolean>(true, false, {}, { type: 'string' }, { type: ['number', 'null'] }, { enum: ['a', 1, null, [1]] }, { const: { a: 1 } },
      { minimum: 1 }, { maxLength: 2 }, { pattern: '^[a-c]+$' }, { uniqueItems: true }, { required: ['a'] }, { minProperties: 1 }, { multipleOf: 2 }, { minItems: 1, maxItems: 2 }),
    fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }), fc.record({ oneOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ not: tie('schema') }), fc.tuple(tie('schema'), tie('schema'), tie('schema')).map((inner) => Object.fromEntries(['if', 'then', 'else'].map((word, at) => [word, inner[at]]))),
    fc.record({ items: tie('schema'), contains: tie('schema') }), fc.record({ prefixItems: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }), unevaluatedItems: tie('schema') }),
    fc.record({ properties: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('schema')), unevaluatedProperties: tie('schema') }),
    fc.record({ additionalProperties: tie('schema'), propertyNames: tie('schema'), patternProperties: fc.record({ '^a': tie('schema') }) })),
})).schema

test('it says of every body what ajv says without any of this', () => {
  const value = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, fc.constantFrom('a', 'abc', '', 0, 1, 2, 3.5, null, true), fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom('a', 'ab', 'b', 'c'), tie('value'), { noNullPrototype: true })),
  })).value)
  fc.assert(fc.property(part.filter((schema) => typeof schema === 'object'), fc.array(value, { minLength: 1, maxLength: 5 }), (schema, values) => {
    const plain = new Ajv2020({ strict: false, logger: false }).compile(schema)
    const checker = checkerOf(schema)
    assert.ok(typeof checker !== 'string')
    for (const one of values) assert.equal(checker.check(one, plenty) === 'fits', plain(one), JSON.stringify([schema, one]))
  }), { numRuns: 15, seed: 9 })
})

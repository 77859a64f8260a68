import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { readJson } from './values.ts'
import { compileValue, type StepFacts, type ValueFacts } from './step_expression.ts'

const step = (body: unknown, more: Partial<StepFacts> = {}): StepFacts => ({ status: 200, body, skipped: false, failed: false, ...more })
const numbers = Array.from({ length: 200_000 }, (_, i) => i)
const body: unknown = JSON.parse(
  '{"instances":[[1,2],[3,4.5]],"user":{"name":"ann","age":20},"tags":["a","b"],"empty":[],"none":null,"__proto__":{"admin":true}}')
const large = { numbers, few: numbers.slice(0, 1000), text: 'x'.repeat(10_000_000), short: 'x'.repeat(20_000) }

const facts: ValueFacts = {
  request: {
    method: 'POST', path: '/v2/models/fraud/infer', host: 'models.example.com', headers: new Map([['x-region', 'eu']]), query: new Map(), model: 'fraud',
  },
  principal: { consumer: 'ann', groups: ['a'], scopes: [], claims: new Map([['org', 'acme']]) },
  body: () => body,
  steps: new Map([
    ['a', step({ p: [1, 2.5], label: 'dog' })], ['b-2', step({ p: [3, 3.5], label: 'cat' })],
    ['gone', step(null, { status: 503, skipped: true, failed: true })],
  ]),
  toss: (name) => name.length / 10,
  item: { x: 3 },
  index: 2,
}

function textOf(writing: Generator<undefined, string>): string {
  for (;;) {
    const { done, value } = writing.next()
    if (done === true) return value
  }
}

function valueOf(source: string, given: ValueFacts = facts): unknown {
  const value = compileValue(source, 'json', true)
  assert.ok(!('fault' in value), 'fault' in value ? value.fault : '')
  return value.of(given, { left: 1_000_000 })
}

for (const [source, wanted] of [
  ['request.body.instances', [[1, 2], [3, 4.5]]],
  ['request.body.instances.map(row, row.map(x, x * 2 + 1))', [[3, 5], [7, 10]]],
  ['{"inputs": [{"name": "x", "shape": [1, size(steps.a.body.p)], "datatype": "FP32", "data": steps.a.body.p}]}',
    { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2.5] }] }],
  ['request.body.user.age >= 18 && request.headers["x-region"] == "eu" ? "adult" : "child"', 'adult'],
  ['steps.a.status == 200 && !steps.a.skipped && steps["gone"].failed', true],
  ['steps.gone.skipped ? request.body.tags : steps.gone.body', ['a', 'b']],
  ['mean([steps.a.body.p, steps["b-2"].body.p])', [2, 3]],
  ['mean([steps.a.body.p, steps.gone.body])', [1, 2.5]],
  ['weighted([steps.a.body.p, steps["b-2"].body.p, null], [1, 3, 100])', [2.5, 3.25]],
  ['vote([steps["b-2"].body.label, steps.a.body.label, "dog"])', 'dog'],
  ['vote([steps["b-2"].body.label, steps.a.body.label])', 'cat'],
  ['vote([[1, 0], [1, 1], [0, 1]])', [1, 1]],
  ['item.x % 2 == 1 ? item.x / 2 : index', 1.5],
  ['request.body.user.name.matches("^a.n$") || "matches" == request.path', true],
  ['(steps.a.body.p + [1, "x", null])', [1, 2.5, 1, 'x', null]],
  ['has(request.body.nothing) || has(request.body.user.name)', true],
  ['toss("abc") < 0.4 && toss("abcd") >= 0.4', true],
  ['9007199254740993', 9007199254740993n],
  ['[1, 2.5, {"a": true}]', [1, 2.5, { a: true }]],
  ['principal.claims.org + "/" + principal.consumer', 'acme/ann'],
] as const) test(`${source} gives what it says`, () => assert.deepEqual(valueOf(source), wanted))

for (const [source, why] of [
  ['request.body.nothing', /No such key: nothing/],
  ['request.body.user.constructor', /No such key: constructor/],
  ['mean([[1, 2], [1]])', /different shapes/],
  ['mean([request.body.user.name])', /no number/],
  ['mean([null])', /no answer that has a weight/],
  ['weighted([1, 2], [1])', /2 answers and 1 weights/],
  ['weighted([1, 2], [1, -1])', /below 0/],
  ['request', /JSON does not have/],
  ['1.0 / 0.0', /number that JSON does not have/],
] as const) test(`${source} cannot be evaluated: ${String(why)}`, () => assert.throws(() => valueOf(source), why))

test('what a caller calls __proto__ is a member like any other, and goes no further than its own', () => {
  const copy = valueOf('request.body') as object
  assert.equal(Object.getPrototypeOf(copy), Object.prototype)
  assert.equal(Reflect.get({}, 'admin'), undefined)
})

for (const source of [
  'request.body.numbers.map(x, x)',
  'request.body.few.map(x, request.body.few.map(y, x))',
  'request.body.few.filter(x, request.body.numbers == request.body.numbers)',
  'request.body.few.map(x, request.body.text.contains("y"))',
  'request.body.few.map(x, request.body.short.matches("^(x+)+$"))',
  'request.body.few.map(x, request.body.numbers)',
  'request.body.few.map(x, request.body.numbers + request.body.numbers)',
  'request.body.few.map(x, x in request.body.numbers)',
  'mean(request.body.few.map(x, request.body.numbers))',
  '[request.body.text, request.body.text]',
  'request.body.few.map(x, request.body.few.map(y, request.body.few.map(z, z)))',
]) {
  test(`${source} is given up, however much there is to look at`, () => {
    const began = process.cpuUsage()
    assert.throws(() => valueOf(source, { ...facts, body: () => large }), /more than an expression may|more text than an expression may/)
    const { user, system } = process.cpuUsage(began)
    assert.ok(user + system < 2_000_000, `${(user + system) / 1000} ms of the processor`)
  })
}

test('what several expressions of a request look at is taken from one effort', () => {
  const value = compileValue('request.body.few.map(x, x * 2)', 'json')
  assert.ok(!('fault' in value))
  const effort = { left: 10_000 }
  const given = { ...facts, body: () => large }
  assert.throws(() => {
    for (let i = 0; i < 100; i++) value.of(given, effort)
  }, /more than an expression may/)
  assert.ok(effort.left <= 10_000 && effort.left >= 0)
})

for (const [source, why] of [
  ['steps', /each by itself/], ['steps.exists(s, true)', /each by itself/], ['nothing.x', /Unknown variable: nothing/], ['charged(1, 2)', /which expressions do not have/],
  ['request.path.split("/")', /calls split/], ['request.nope', /No such key: nope/], ['request.body.x.matches(request.body.y)', /as a literal/],
  ['1 +', /is no CEL expression/],
] as const) {
  test(`${source} is refused: ${String(why)}`, () => {
    const value = compileValue(source, 'json')
    assert.match('fault' in value ? value.fault : '', why)
  })
}

test('a condition is one, an item is there only where a list is gone through, and what is looked at is known beforehand', () => {
  assert.match(JSON.stringify(compileValue('request.path', 'bool')), /gives a string; a bool is needed/)
  assert.match(JSON.stringify(compileValue('item.x', 'json')), /Unknown variable: item/)
  const value = compileValue('steps.a.failed || steps["b-2"].body.x == item.x || has(request.body.y)', 'bool', true)
  assert.ok(!('fault' in value))
  assert.deepEqual([[...value.steps], [...value.asksFailed], value.readsBody, value.readsItem], [['a', 'b-2'], ['a'], true, true])
  const other = compileValue('request.headers["body"] == "steps.a"', 'bool')
  assert.ok(!('fault' in other))
  assert.deepEqual([other.steps.size, other.readsBody, other.readsItem], [0, false, false])
})

test('a list of numbers is looked at and written as one of other values is, and costs the same', () => {
  const list = [...Array.from({ length: 1000 }, (_, at) => at / 7), null, ...Array.from({ length: 10 }, (_, at) => at)]
  const value = compileValue('request.body', 'json')
  assert.ok(!('fault' in value))
  const costOf = (given: unknown) => {
    const effort = { left: 1_000_000 }
    assert.equal(textOf(value.text({ ...facts, body: () => given }, effort)), JSON.stringify(given))
    return 1_000_000 - effort.left
  }
  assert.equal(costOf(list), costOf(list.toReversed()))
  assert.throws(() => value.of({ ...facts, body: () => [1, Number.NaN] }, { left: 1000 }), /a number that JSON does not have/)
})

test('a whole number that JavaScript cannot hold goes through as it is', () => {
  const value = compileValue('{"ids": request.body.ids, "next": request.body.ids[0] + 1}', 'json')
  assert.ok(!('fault' in value))
  const ids = () => readJson(Buffer.from('{"ids":[9007199254740993,1]}'))
  assert.equal(textOf(value.text({ ...facts, body: ids }, { left: 1000 })), '{"ids":[9007199254740993,1],"next":9007199254740994}')
})

test('whatever JSON there is comes out as it went in, and nothing it is called changes any other object', () => {
  const whole = compileValue('{"x": request.body}', 'json')
  const parts = compileValue('request.body.map(one, {"item": one})', 'json')
  assert.ok(!('fault' in whole) && !('fault' in parts))
  const names = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'prototype', 'toJSON', 'toString', 'length'))
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, fc.constant(null), fc.boolean(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.string(), fc.array(tie('value')), tie('object')),
    object: fc.array(fc.tuple(names, tie('value'))).map((entries) => Object.fromEntries(entries)),
  }))
  fc.assert(fc.property(fc.array(value), (list) => {
    const json = JSON.stringify(list)
    const given = { ...facts, body: () => readJson(Buffer.from(json)) }
    assert.equal(textOf(whole.text(given, { left: 1_000_000 })), `{"x":${json}}`)
    assert.equal(textOf(parts.text(given, { left: 1_000_000 })), JSON.stringify(list.map((item) => ({ item }))))
    assert.deepEqual([Reflect.ownKeys(Object.prototype).length, Reflect.get({}, 'item')], [12, undefined])
  }), { numRuns: 200 })
})

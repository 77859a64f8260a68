import assert from 'node:assert/strict'
import test from 'node:test'
import { compileCondition, compileCost, type CostFacts, type Facts } from './expression.ts'

const facts: Facts = {
  request: {
    method: 'POST', path: '/v2/models/fraud/infer', host: 'models.example.com',
    headers: new Map([['x-beta', '1'], ['x-region', 'eu-west']]), query: new Map([['v', '2']]), model: 'fraud',
  },
  principal: {
    consumer: 'ann', groups: ['a', 'b'], tier: 'pro', scopes: ['infer'],
    claims: new Map<string, unknown>([['age', 20], ['org', JSON.parse('{"name":"acme","tags":["x"],"__proto__":{"admin":true}}')]]),
  },
}

function holds(source: string): boolean {
  const condition = compileCondition(source)
  if ('fault' in condition) throw new Error(condition.fault)
  return condition.holds(facts)
}

function fault(source: string): string {
  const condition = compileCondition(source)
  return 'fault' in condition ? condition.fault : ''
}

for (const source of [
  'request.headers["x-beta"] == "1"',
  'request.method == "POST" && request.path.startsWith("/v2/")',
  'request.query.v == "2" && request.host.endsWith(".example.com")',
  'request.model in ["fraud", "churn"]',
  'principal.tier == "pro" && "a" in principal.groups',
  'principal.groups.exists(g, g == "b")',
  'principal.claims.age >= 18 && principal.claims.org.name == "acme"',
  'has(principal.claims.age) && !has(principal.claims.nothing)',
  'request.headers["x-region"].matches("^eu-[a-z]+$")',
  'request.path . matches ( "fr" ) && !request.path.matches("^fr$")',
  '"matches(" != request.path && request.path.matches("matches|fraud")',
  'request.headers["none"] == "1" || true',
]) {
  test(`${source} holds`, () => assert.equal(holds(source), true))
}

for (const source of [
  'request.headers["none"] == "1"',
  'request.headers["none"] != "1"',
  'principal.claims.org.constructor == "x"',
  'has(principal.claims.org.constructor) || has(principal.claims.org.hasOwnProperty)',
  'principal.claims.age == "20"',
  'principal.claims.nothing.deep == 1',
  'principal.claims.age',
]) {
  test(`${source} does not hold, and says nothing about it`, () => assert.equal(holds(source), false))
}

for (const [source, why] of [
  ['request.nope == 1', /No such key: nope/],
  ['nope == 1', /Unknown variable: nope/],
  ['request.method', /gives a string; a bool is needed/],
  ['request.method + 1 == "a"', /no such overload: string \+ int/],
  ['request.method ==', /no CEL expression/],
  ['', /no CEL expression/],
  ['usage.rows > 1', /Unknown variable: usage/],
  ['request.path.split("").size() > 1', /calls split/],
  ['cel.bind(x, request.path + request.path, x == "")', /calls bind/],
  ['principal.groups.exists(g, principal.groups.exists(h, h == g))', /a loop \(exists\) within a loop/],
  ['request.path.matches(request.headers["x-beta"])', /as a literal/],
  ['request.path.matches("(")', /not RE2 syntax/],
  ['request.path.matches("(?=a)")', /not RE2 syntax/],
  ['request.path.matches("(a{30}){30}")', /more than 500 steps/],
  ['request.path.matchesLinear("a")', /calls matchesLinear/],
  [`request.path == "${'x'.repeat(2048)}"`, /longer than 2048/],
  [Array.from({ length: 300 }, () => '1 == 1').join(' && '), /longer than|no CEL expression/],
] as const) {
  test(`refused: ${source.slice(0, 70)}`, () => assert.match(fault(source), why))
}

test('a regular expression that explodes elsewhere takes linear time', () => {
  const condition = compileCondition('request.path.matches("^(a+)+$")')
  assert.ok(!('fault' in condition))
  const path = `${'a'.repeat(16_000)}!`
  const begin = process.cpuUsage()
  assert.equal(condition.holds({ ...facts, request: { ...facts.request, path } }), false)
  const { user } = process.cpuUsage(begin)
  assert.ok(user < 2_000_000, `${user} µs of processor time`)
})

test('a claim with an endless list is looked at by no loop', () => {
  const condition = compileCondition('principal.claims.l.exists(x, x == 1)')
  assert.ok(!('fault' in condition))
  const list = (length: number) => ({ ...facts, principal: { ...facts.principal, claims: new Map([['l', Array(length).fill(1)]]) } })
  assert.equal(condition.holds(list(1000)), true)
  assert.equal(condition.holds(list(1001)), false)
})

test('an expression that looks at the model says so', () => {
  const reads = (source: string) => {
    const condition = compileCondition(source)
    return 'fault' in condition ? condition.fault : condition.readsModel
  }
  assert.equal(reads('request.model == "a"'), true)
  assert.equal(reads('request.path == "model"'), false)
})

const usage = {
  rows: 3, tensorElements: 12, requestBytes: 100, responseBytes: 0, inputTokens: 10, outputTokens: 20, maxTokens: 50, backendSeconds: 0.5,
}
const costFacts: CostFacts = { ...facts, response: { status: 200, bytes: 0 }, usage }

for (const [source, expected] of [
  ['rows * 2', 6], ['inputTokens * 0.5 + outputTokens * 1.5', 35], ['usage.inputTokens + 4 * usage.outputTokens', 90], ['7', 7],
  ['backendSeconds * 10', 5], ['max(inputTokens, outputTokens)', 20], ['request.model == "fraud" ? 2.0 : 1.0', 2],
  ['rows - 10', undefined], ['rows / 0', undefined], ['principal.claims.nothing', undefined], ['response.status == 200.0 ? rows : 0.0', 3],
] as const) {
  test(`${source} costs ${expected}`, () => {
    const cost = compileCost(source)
    assert.ok(!('fault' in cost), 'fault' in cost ? cost.fault : '')
    assert.equal(cost.of(costFacts), expected)
  })
}

test('a cost is a number', () => {
  const cost = compileCost('request.method')
  assert.ok('fault' in cost && /gives a string/.test(cost.fault))
})

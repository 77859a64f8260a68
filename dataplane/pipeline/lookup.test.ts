import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Match, Route } from '../../table/route.ts'
import { match, route, rule } from '../../test/dataplane/table.ts'
import { modelOf } from '../protocols/path.ts'
import { atOnce } from '../sliced.ts'
import { createIndex, findMatch, methodsServed, type Index } from './lookup.ts'
import { refuseAll } from './principal.ts'
import { compileMatches, type Matchable } from './match.ts'
import { createPatterns } from './patterns.ts'

const patterns = createPatterns()

/** Each slot's name: `route/rule`. */
function indexOf(routes: readonly Route[]): { index: Index; names: string[] } {
  const names: string[] = []
  const indexed = routes.map((one) => {
    const candidates = compileMatches(one, patterns, refuseAll)
    assert.ok(typeof candidates !== 'string', JSON.stringify(candidates))
    const first = names.length
    names.push(...one.rules.map((r) => `${one.id.replace('ml/', '')}/${r.name}`))
    return { tenant: one.tenant, hostnames: one.hostnames, entries: candidates.map((candidate) => ({ candidate, slot: first + candidate.rule })) }
  })
  return { index: atOnce(createIndex(indexed)), names }
}

function request(line: string, headers: Record<string, string> = {}): Matchable {
  const [method = '', url = ''] = line.split(' ')
  const { host, pathname, searchParams } = new URL(url, 'http://none')
  return {
    method,
    host: url.startsWith('/') ? '' : host,
    path: pathname,
    clientAddress: headers['from'] ?? '192.0.2.1',
    header: (name) => headers[name],
    parameter: (name) => searchParams.get(name) ?? undefined,
    model: () => modelOf(pathname),
    verdict: () => undefined, country: undefined, modelUnread: false, value: () => undefined, facts: () => { throw new Error('not asked') },
  }
}

/** A route with one rule of these matches. */
const one = (id: string, matches: readonly Match[], more: Partial<Route> = {}) =>
  route({ id: `ml/${id}`, rules: [rule({ name: 'r', matches })], ...more })

const h = (name: string, value: string) => ({ type: 'Exact' as const, name, value })

const world = [
  one('host', [match('/')], { hostnames: ['a.example.com'] }),
  one('host-deep', [match('/deep')], { hostnames: ['a.example.com', 'c.example.com'] }),
  one('wild', [match('/')], { hostnames: ['*.example.com'] }),
  one('wild-longer', [match('/')], { hostnames: ['*.b.example.com'] }),
  one('wild-exact-path', [match('/exact', { type: 'Exact' })], { hostnames: ['*.example.com'] }),
  one('exact', [match('/v1/x', { type: 'Exact' })]),
  one('regex', [match('/v1/[a-z]+', { type: 'Regex' })]),
  one('prefix-short', [match('/v1')]),
  one('prefix-long', [match('/v1/x/y')]),
  one('method', [match('/m', { method: 'POST' })]),
  one('method-headers', [match('/m', { headers: [h('x-a', '1'), h('x-b', '2')] })]),
  one('headers-1', [match('/h', { headers: [h('x-a', '1')] })]),
  one('headers-2', [match('/h', { headers: [h('x-a', '1'), h('x-b', '2')] })]),
  one('headers-0', [match('/h')]),
  one('header-present', [match('/hp', { headers: [{ type: 'Present', name: 'x-a' }] })]),
  one('header-prefix', [match('/hx', { headers: [{ type: 'Prefix', name: 'x-a', value: 'ab' }] })]),
  one('header-regex', [match('/hr', { headers: [{ type: 'Regex', name: 'x-a', value: 'a+b' }] })]),
  one('query-1', [match('/q', { query: [h('v', '1')] })]),
  one('query-2', [match('/q', { query: [h('v', '1'), h('w', '2')] })]),
  one('query-headers', [match('/qh', { headers: [h('x-a', '1')] })]),
  one('query-only', [match('/qh', { query: [h('v', '1'), h('w', '2')] })]),
  one('model', [match('/v2', { model: { name: 'fraud' } })]),
  one('model-version', [match('/v2', { model: { name: 'fraud', version: '2' } })]),
  one('model-header', [match('/v2', { headers: [h('x-a', '1')] })]),
  one('model-slash', [match('/v2', { model: { name: 'org/m' } })]),
  one('v2', [match('/v2')]),
  one('v1-model', [match('/v1/models', { model: { name: 'llama3:8b' } })]),
  one('younger', [match('/age')], { created: '2026-01-02T00:00:00Z' }),
  one('older', [match('/age')], { created: '2026-01-01T00:00:00Z' }),
  one('b-name', [match('/name')]),
  one('a-name', [match('/name')]),
  route({ id: 'ml/order', rules: [
    rule({ name: 'first', matches: [match('/order')] }),
    rule({ name: 'second', matches: [match('/order'), match('/order/2')] }),
  ] }),
  one('any-of', [match('/any/one', { type: 'Exact' }), match('/any/two', { type: 'Exact' })]),
  one('slash', [match('/slash/')]),
  one('get', [match('/only', { method: 'GET' })]),
  one('network', [match('/net', { sources: ['10.0.0.0/8', '2001:db8::/32'] })]),
  one('network-none', [match('/net')]),
  one('put', [match('/only', { method: 'PUT', headers: [h('x-a', '1')] })]),
]

const cases: readonly [line: string, expected: string | undefined, headers?: Record<string, string>][] = [
  ['GET http://a.example.com/', 'host/r'],
  ['GET http://a.example.com/deep/er', 'host-deep/r'],
  ['GET http://c.example.com/deep', 'host-deep/r'],
  ['GET http://c.example.com/', 'wild/r'],
  ['GET http://x.b.example.com/', 'wild-longer/r'],
  ['GET http://y.x.b.example.com/', 'wild-longer/r'],
  ['GET http://b.example.com/', 'wild/r'],
  ['GET http://x.b.example.com/exact', 'wild-longer/r'],
  ['GET http://b.example.com/exact', 'wild-exact-path/r'],
  ['GET http://a.example.com/exact', 'host/r'],
  ['GET http://example.com/', undefined],
  ['GET http://example.com/v1/x', 'exact/r'],
  ['GET http://a.example.com/v1/x', 'host/r'],
  ['GET /v1/x', 'exact/r'],
  ['GET /v1/z', 'regex/r'],
  ['GET /v1/zz', 'regex/r'],
  ['GET /v1/9', 'prefix-short/r'],
  ['GET /v1', 'prefix-short/r'],
  ['GET /v1/', 'prefix-short/r'],
  ['GET /v1x', undefined],
  ['GET /v1/x/', 'prefix-short/r'],
  ['GET /v1/x/y', 'prefix-long/r'],
  ['GET /v1/x/y/z', 'prefix-long/r'],
  ['GET /v1/x/yz', 'prefix-short/r'],
  ['POST /m', 'method/r', { 'x-a': '1', 'x-b': '2' }],
  ['GET /m', 'method-headers/r', { 'x-a': '1', 'x-b': '2' }],
  ['POST /m', 'method/r'],
  ['GET /m', undefined],
  ['GET /h', 'headers-0/r'],
  ['GET /h', 'headers-1/r', { 'x-a': '1' }],
  ['GET /h', 'headers-2/r', { 'x-a': '1', 'x-b': '2' }],
  ['GET /h', 'headers-0/r', { 'x-a': '2' }],
  ['GET /hp', 'header-present/r', { 'x-a': '' }],
  ['GET /hp', undefined],
  ['GET /hx', 'header-prefix/r', { 'x-a': 'abc' }],
  ['GET /hx', undefined, { 'x-a': 'xab' }],
  ['GET /hr', 'header-regex/r', { 'x-a': 'aab' }],
  ['GET /hr', undefined, { 'x-a': 'aabb' }],
  ['GET /q?v=1', 'query-1/r'],
  ['GET /q?v=1&w=2', 'query-2/r'],
  ['GET /q?v=2', undefined],
  ['GET /q?v=1&v=2', 'query-1/r'],
  ['GET /qh?v=1&w=2', 'query-headers/r', { 'x-a': '1' }],
  ['GET /qh?v=1&w=2', 'query-only/r'],
  ['POST /v2/models/fraud/infer', 'model/r'],
  ['POST /v2/models/fraud/versions/2/infer', 'model-version/r'],
  ['POST /v2/models/fraud/versions/3/infer', 'model/r'],
  ['POST /v2/models/fraud/infer', 'model-header/r', { 'x-a': '1' }],
  ['POST /v2/models/%66raud/infer', 'model/r'],
  ['POST /v2/models/org%2Fm/infer', 'model-slash/r'],
  ['POST /v2/models/other/infer', 'v2/r'],
  ['POST /v1/models/llama3:8b:predict', 'v1-model/r'],
  ['POST /v1/models/llama3:predict', 'prefix-short/r'],
  ['GET /age', 'older/r'],
  ['GET /name', 'a-name/r'],
  ['GET /order', 'order/first'],
  ['GET /order/1', 'order/first'],
  ['GET /order/2', 'order/second'],
  ['GET /any/one', 'any-of/r'],
  ['GET /any/two', 'any-of/r'],
  ['GET /any/three', undefined],
  ['GET /slash', 'slash/r'],
  ['GET /slash/x', 'slash/r'],
  ['HEAD /only', undefined],
  ['GET /net', 'network-none/r'],
  ['GET /net', 'network/r', { from: '10.1.2.3' }],
  ['GET /net', 'network/r', { from: '2001:db8::1' }],
  ['GET /net', 'network-none/r', { from: '' }],
]

const { index, names } = indexOf(world)
for (const [line, expected, headers = {}] of cases) {
  test(`precedence: ${line} ${JSON.stringify(headers)} → ${expected ?? 'none'}`, () => {
    const found = findMatch(index, request(line, headers))
    assert.equal(found && names[found.slot], expected)
  })
}

test('precedence does not depend on the order in which routes arrive', () => {
  const reversed = indexOf([...world].reverse())
  for (const [line, expected, headers = {}] of cases) {
    const found = findMatch(reversed.index, request(line, headers))
    assert.equal(found && reversed.names[found.slot], expected, line)
  }
})

test('405 names the methods, and only where nothing but the method differs', () => {
  assert.deepEqual(methodsServed(index, request('DELETE /only')), ['GET'])
  assert.deepEqual(methodsServed(index, request('DELETE /only', { 'x-a': '1' })), ['GET', 'PUT'])
  assert.deepEqual(methodsServed(index, request('DELETE /nothing')), [])
  assert.deepEqual(methodsServed(index, request('GET http://example.com/q?v=2')), [])
})

test('the query is not parsed unless a candidate asks for it', () => {
  const asked = { ...request('GET /h'), parameter: () => assert.fail('parsed') }
  findMatch(index, asked)
})

test('a look-up costs the same with one route and with 5,000: by host, path, model and header', () => {
  const many = Array.from({ length: 5000 }, (_, i) => route({
    id: `ml/r${i}`,
    rules: [rule({ name: 'r', matches: [
      match(`/p${i}`), match(`/e${i}`, { type: 'Exact' }), match('/v2', { model: { name: `m${i}` } }),
      match('/t', { headers: [h('x-tenant', `t${i}`)] }),
    ] })],
  }))
  const big = indexOf(many).index
  for (const [line, headers] of [
    ['GET /p4999/x', {}], ['GET /e4999', {}], ['GET /v2/models/m4999/infer', {}], ['GET /t', { 'x-tenant': 't4999' }],
  ] as const) {
    const asked = counting(request(line, headers))
    assert.equal(findMatch(big, asked.request)?.slot, 4999, line)
    assert.ok(asked.count() < 8, `${line} asked the request ${asked.count()} times`)
  }
})

/** How often matching looks at a request: what must not grow with the table. */
function counting(of: Matchable) {
  let count = 0
  const counted = new Proxy(of, { get: (target, key) => { count++; return Reflect.get(target, key) as unknown } })
  return { request: counted, count: () => count }
}

test('what a tenant\'s host does not serve falls through to routes of that tenant only', () => {
  const of = (tenant: string, id: string, hostnames: readonly string[], path = '/') =>
    ({ ...one(id, [match(path)], { hostnames }), id: `${tenant}/${id}`, tenant })
  const { index, names } = indexOf([
    of('a', 'exact', ['x.example.com'], '/only'), of('a', 'any', []),
    of('b', 'wild', ['*.example.com'], '/b'), of('b', 'any', [], '/v1'), { ...of('c', 'none', ['held.example.org']), rules: [] },
  ])
  const found = (line: string) => names[findMatch(index, request(line))?.slot ?? -1]
  assert.equal(found('GET http://x.example.com/only'), 'a/exact/r')
  assert.equal(found('GET http://x.example.com/b'), 'a/any/r')
  assert.equal(found('GET http://x.example.com/v1'), 'a/any/r')
  assert.equal(found('GET http://y.example.com/b'), 'b/wild/r')
  assert.equal(found('GET http://y.example.com/v1'), 'b/any/r')
  assert.equal(found('GET http://y.example.com/'), undefined)
  assert.equal(found('GET http://held.example.org/v1'), undefined, 'a host without a rule is still somebody\'s')
  assert.equal(found('GET http://else.example.net/v1'), 'b/any/r')
})

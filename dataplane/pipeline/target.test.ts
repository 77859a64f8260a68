import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { normalizePath, parseTarget } from './target.ts'

for (const [from, to] of [
  ['/', '/'],
  ['/v2/models/m/infer', '/v2/models/m/infer'],
  ['/a/./b', '/a/b'],
  ['/a/../b', '/b'],
  ['/a/%2e%2e/b', '/b'],
  ['/a/%2E./b', '/b'],
  ['/../../b', '/b'],
  ['/a/b/..', '/a/'],
  ['/a/.', '/a/'],
  ['//a///b', '/a/b'],
  ['/a/', '/a/'],
  ['/%61%7e', '/a~'],
  ['/%c3%a9', '/%C3%A9'],
  ['/org%2fname', '/org%2Fname'],
  ['/%252e%252e/x', '/%252e%252e/x'],
  ['/.well-known/x', '/.well-known/x'],
  ['/m:predict', '/m:predict'],
] as const) {
  test(`${from} is ${to}`, () => assert.equal(normalizePath(from), to))
}

for (const path of [
  '/a%2f..%2fadmin', '/a/..%2fadmin', '/a%5c..%5cadmin', '/%2e%2e%2fadmin', '/a%00b', '/a\\b', '/a%', '/a%2', '/a%zz', '/a#b',
  '/a b', '/ä', '/a\tb', '/<a>', 'a', '',
]) {
  test(`refused: ${JSON.stringify(path)}`, () => assert.equal(typeof normalizePath(path), 'object'))
}

test('the query goes on byte for byte', () => {
  assert.deepEqual(parseTarget('/a?x=%zz&y=//../'), { path: '/a', query: '?x=%zz&y=//../' })
  assert.deepEqual(parseTarget('/a?'), { path: '/a', query: '?' })
  assert.ok('code' in parseTarget('/a?x#y'))
})

test('normalising is idempotent, and what comes out holds no dot segment when a backend unescapes it', () => {
  const piece = fc.constantFrom('/', '.', '..', '%2e', '%2E', '%2f', '%5C', '%25', 'a', '//', '%61', ':', '%')
  fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
    const once = normalizePath(`/${pieces.join('')}`)
    if (typeof once !== 'string') return
    assert.equal(normalizePath(once), once)
    const unescaped = once.replaceAll(/%[0-9A-F]{2}/g, (hex) => String.fromCharCode(Number.parseInt(hex.slice(1), 16)))
    assert.ok(!unescaped.split(/[/\\]/).some((part) => part === '.' || part === '..'), `${once} → ${unescaped}`)
  }), { numRuns: 5000 })
})

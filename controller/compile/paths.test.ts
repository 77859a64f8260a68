import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { normalizePath } from '../../dataplane/pipeline/target.ts'
import { normalisePath, withoutTrailingSlash } from './paths.ts'
import { runs } from '../../test/runs.ts'

const spellings: readonly [string, string][] = [
  ['/', '/'],
  ['/v1/', '/v1/'],
  ['/%41%7e%2d', '/A~-'],
  ['/a%2fb%3a', '/a%2Fb%3A'],
  ['/a b', '/a%20b'],
  ['/é', '/%C3%A9'],
  ['/{a}|"^`<>', '/%7Ba%7D%7C%22%5E%60%3C%3E'],
  ['/a%2F..b', '/a%2F..b'],
  ['/...', '/...'],
  ['/a/.b/..c', '/a/.b/..c'],
]

for (const [from, to] of spellings) {
  test(`${from} is spelt ${to}`, () => assert.deepEqual(normalisePath(from), { path: to }))
}

const hopeless = [
  '',
  'v1',
  '/a?b',
  '/a#b',
  '//',
  '/a//b',
  '/.',
  '/a/..',
  '/a/../b',
  '/a/%2E%2e/b',
  '/%',
  '/%g0',
  '/a\\b',
  '/a\u0000',
  '/\ud800',
  '/a%2f..',
  '/..%2Fa',
  '/a%5c../b',
  '/a%00',
]

for (const path of hopeless) {
  test(`${JSON.stringify(path)} matches no request and is refused`, () => assert.ok('fault' in normalisePath(path)))
}

test('normalising twice changes nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      const once = normalisePath(`/${text}`)
      if ('path' in once) assert.deepEqual(normalisePath(once.path), once)
    }),
    { numRuns: 500 },
  )
})

test('a proxy takes every path that is not refused here, and spells it in the same way', () => {
  const pieces = fc.constantFrom(
    'a',
    '/',
    '.',
    '..',
    '%2F',
    '%5c',
    '%41',
    '%2e',
    '%00',
    '%',
    ' ',
    '{',
    '"',
    '[',
    'é',
    '~',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
      const found = normalisePath(`/${parts.join('')}`)
      if ('path' in found) assert.equal(normalizePath(found.path), found.path)
    }),
    { numRuns: runs(500) },
  )
})

test('only the root keeps its slash', () => {
  assert.deepEqual(['/', '/v1/', '/v1'].map(withoutTrailingSlash), ['/', '/v1', '/v1'])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { JsonScan } from './json.ts'
import { wantedOf } from './pointers.ts'
import { cutUp } from '../../../test/dataplane/pieces.ts'
import { valueMax } from './scan.ts'

type Found = Readonly<{ values: readonly (string | undefined)[]; fault: string | undefined; foreign: boolean; read: number }>

/** What is found in a text that comes in these pieces. `read`: bytes that it took. */
function scan(body: Buffer, pointers: readonly string[], sizes: readonly number[] = [body.length]): Found {
  const scan = new JsonScan(wantedOf(pointers), pointers.length)
  let read = 0
  for (const piece of cutUp(body, sizes)) {
    if (!scan.done) read += piece.length
    scan.take(piece)
  }
  scan.end()
  return { values: pointers.map((_, i) => scan.values[i] && (scan.values[i].kind === 'container' ? '…' : scan.values[i].text)), fault: scan.fault, foreign: scan.foreign, read }
}

const find = (text: string, ...pointers: string[]) => scan(Buffer.from(text), pointers)

test('a value is found by its pointer, whatever stands around it', () => {
  const body = String.raw`{ "messages":[{"role":"user","content":"a \"model\": \"x\" \\"}], "mo\u0064el" : "ll\u00e4ma" ,"n":-1.5e3,"t":true,"a/b":{"~":null}}`
  assert.deepEqual(find(body, '/model', '/messages/0/role', '/n', '/t', '/a~1b/~0', '/messages', '/messages/1', '/n/x', '').values,
    ['lläma', 'user', '-1.5e3', 'true', 'null', '…', undefined, undefined, '…'])
})

test('no more is read than it takes', () => {
  const body = Buffer.from(`{"model":"a","messages":"${'x'.repeat(10_000)}"}`)
  assert.deepEqual(scan(body, ['/model'], [16]).read, 16)
  assert.equal(scan(Buffer.from(`{"a":{"b":1},"c":"${'x'.repeat(10_000)}"}`), ['/a/c'], [16]).read, 16, 'what is not there any more is not waited for')
})

test('a name that is looked for stands there once, in whatever case; other names are nobody\'s business', () => {
  for (const body of ['{"model":"a","model":"b"}', '{"model":"a","Model":"b"}', '{"MODEL":"a","model":"b"}', String.raw`{"model":"a","m\u006fdel":"b"}`, '{"model":"a","x":{"model":1},"model":"a"}']) {
    assert.equal(find(body, '/model').fault, 'names a member twice', body)
  }
  assert.deepEqual(find('{"x":1,"x":2,"model":"a"}', '/model'), { values: ['a'], fault: undefined, foreign: false, read: 25 })
  assert.equal(find('{"p":{"r":1},"p":{"r":2}}', '/p/r').fault, 'names a member twice')
  assert.equal(find('{"ſ":1,"s":2}', '/s').fault, 'names a member twice')
  assert.deepEqual(find('{"Model":"a"}', '/model').values, [undefined])
})

test('what is broken, or only some would read, is a fault', () => {
  for (const body of [
    '{', '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1}}', '{"a":1}x', '{,}', '{"a":1,}', "{'model':1}", '{model:1}', '{"a":/**/1}', '{"x":[1,2}]}', '{"x":[}', '[1', '{"a" 1}', '{"x":tru}', '{"x":[1]]',
    '{"model":01}', '{"model":nul}', '{"model":"\u0001"}', String.raw`{"model":"\x"}`, '\ufeff{"model":"a"}',
  ]) {
    const { fault } = find(body, '/model', '/a')
    if (!['{"x":tru}'].includes(body)) assert.notEqual(fault, undefined, body)
  }
  assert.notEqual(scan(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), ['/model']).fault, undefined)
  assert.notEqual(scan(Buffer.from('{"model":"a"}', 'utf16le'), ['/model']).fault, undefined)
  assert.equal(find(`{"x":${'['.repeat(2000)}${']'.repeat(2000)},"model":"a"}`, '/model').fault, 'is nested too deep')
  assert.equal(find(`{"x":${'['.repeat(900)}${']'.repeat(900)},"model":"a"}`, '/model').values[0], 'a')
})

test('what is no object and no list is foreign, and holds nothing', () => {
  for (const body of ['', ' ', 'hello', '"model"', '12', 'null', 'model=a']) assert.equal(find(body, '/model').foreign, true, body)
  assert.equal(find('{}', '/model').foreign, false)
})

test('of a long value its beginning is kept', () => {
  for (const fill of ['x', 'é', '€', '😀', String.raw`\u00e9`, String.raw`\\`, String.raw`\"`]) {
    for (const lead of ['', 'a', 'ab', 'abc', 'abcd', 'abcde']) {
      const long = new JsonScan(wantedOf(['/a']), 1)
      long.take(Buffer.from(`{"a":"${lead}${fill.repeat(valueMax + 1)}","b":1}`))
      assert.deepEqual([long.fault, long.values[0]?.cut], [undefined, true], fill + lead)
      assert.ok(`${lead}${JSON.parse(`"${fill.repeat(valueMax + 1)}"`)}`.startsWith(long.values[0]?.text ?? '-'))
      assert.ok((long.values[0]?.text.length ?? 0) > 2000)
    }
  }
})

const names = fc.constantFrom('model', 'a', 'b', '0', 'x/y', '~', '', 'é', '__proto__')
const json = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, fc.string(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null), tie('list'), tie('object')),
  list: fc.array(tie('value'), { maxLength: 4 }),
  object: fc.uniqueArray(fc.tuple(names, tie('value')), { maxLength: 5, selector: ([name]) => name }).map((members) => new Map(members as [string, unknown][])),
}))

const written = (value: unknown): string => value instanceof Map ? `{${[...value].map(([name, one]) => `${JSON.stringify(name)}: ${written(one)}`).join(',')}}`
  : Array.isArray(value) ? `[${value.map(written).join(' , ')}]` : JSON.stringify(value)

const at = (value: unknown, tokens: readonly string[]): unknown => {
  let found = value
  for (const token of tokens) {
    if (found instanceof Map) found = found.get(token)
    else if (Array.isArray(found)) found = /^\d$/.test(token) ? found[Number(token)] : undefined
    else return undefined
  }
  return found
}

test('whatever the text, in whatever pieces, what is found is what JSON.parse finds', () => {
  fc.assert(fc.property(json.object, fc.array(fc.array(names, { maxLength: 3 }), { minLength: 1, maxLength: 3 }), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (value, paths, sizes) => {
    const pointers = [...new Set(paths.map((tokens) => tokens.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')))]
    const found = scan(Buffer.from(written(value)), pointers, sizes)
    assert.equal(found.fault, undefined)
    for (const [i, pointer] of pointers.entries()) {
      const expected = at(value, pointer.split('/').slice(1).map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~')))
      const text = expected === undefined ? undefined : typeof expected === 'object' && expected !== null ? '…' : typeof expected === 'string' ? expected : JSON.stringify(expected)
      assert.equal(found.values[i], text, pointer)
    }
  }), { numRuns: 300 })
})

test('any bytes are read to an end, and how they are cut changes nothing', () => {
  const parts = fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', '"model"', '1', 'true', ' ', '\u0000', 'é', '"model":"a"', '\\"')
  fc.assert(fc.property(fc.array(parts, { maxLength: 30 }), fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }), (given, sizes) => {
    const body = Buffer.from(given.join(''))
    const whole = scan(body, ['/model', '/model/0'])
    const cut = scan(body, ['/model', '/model/0'], sizes)
    assert.deepEqual({ ...cut, read: 0 }, { ...whole, read: 0 })
  }), { numRuns: 500 })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as hold, json, property } from 'fast-check'
import { canonicalOf, textOf, valueAt } from './canonical.ts'

const form = (text: string) => {
  const value = canonicalOf(Buffer.from(text))
  return value === undefined ? undefined : textOf(value)
}

test('texts that say the same have one form', () => {
  const same: readonly string[][] = [
    ['{"a":1,"b":[2,{"c":null,"d":true}]}', ' { "b" : [ 2.0 , {"d":true,"c":null} ],\n"a":1e0}\t'],
    ['[1]', '[1.0]', '[1e0]', '[10E-1]', '[0.1e+1]', '[1.000]'],
    ['[120]', '[1.2e2]', '[12e1]', '[0.00120e5]'],
    ['0', '0.0', '0e9', '0E-3', '0.000e999999999999'],
    ['["A/é"]', '["\\u0041\\/\\u00e9"]'],
    ['{"\\u0061":1}', '{"a":1}'],
    ['""', ' ""'],
    ['["\\u2028\\ud83d\\ude00"]', '["\u2028😀"]'],
  ]
  for (const texts of same) {
    const [first, ...rest] = texts.map(form)
    assert.ok(first !== undefined, texts[0])
    for (const [i, other] of rest.entries()) assert.equal(other, first, texts[i + 1])
  }
})

test('texts that do not say the same have not', () => {
  const all = ['0', '-0', '1', '-1', '10', '0.1', '0.10000000000000001', '9007199254740993', '9007199254740992', '1e400', '1e401', '"1"', 'true', '"true"', 'null', '[]', '{}',
    '[[]]', '[1,2]', '[2,1]', '[12]', '["1,2"]', '{"a":1}', '{"A":1}', '{"a":"1"}', '{"a":{"b":1}}', '{"a":[{"b":1}]}', '""', '" "', '"\\u0000"', '"é"', '"e\u0301"']
  const forms = all.map(form)
  assert.ok(forms.every((one) => one !== undefined))
  assert.equal(new Set(forms).size, all.length)
})

test('what could be read in two ways, or by nobody, has no form', () => {
  const none = ['', '{', '{"a":1,}', '[1,]', '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '01', '+1', '.5', '1.', '1e', 'NaN', 'tru', '\'a\'', '{a:1}', '[1] [2]', '"\n"', '"\\x"', '"a',
    '\ufeff{}', '/* */1', '[1]x', `${'['.repeat(65)}${']'.repeat(65)}`, `"${'x'.repeat(65_536)}"`, '1e9999999999999999']
  for (const text of none) assert.equal(form(text), undefined, text.slice(0, 40))
  assert.equal(canonicalOf(Buffer.from([0x22, 0xff, 0x22])), undefined)
  assert.notEqual(form(`${'['.repeat(64)}${']'.repeat(64)}`), undefined)
})

test('a form reads as what it was made from, whatever that is', () => {
  hold(property(json(), (text) => {
    const made = form(text)
    // A member that is named twice has none.
    if (made !== undefined) assert.deepEqual(JSON.parse(made), JSON.parse(text))
  }), { numRuns: 300 })
})

test('a pointer leads to a value, through lists and escaped names, and to nothing inherited', () => {
  const value = canonicalOf(Buffer.from('{"a":[{"b/c":1},{"d~e":2}],"":3}'))
  assert.ok(value !== undefined)
  const at = (pointer: string) => {
    const found = valueAt(value, pointer)
    return found === undefined ? undefined : textOf(found)
  }
  assert.deepEqual(['/a/0/b~1c', '/a/1/d~0e', '/', '/a/2', '/a/00', '/a/length', '/constructor', '/a/0/b~1c/x'].map(at), ['1e0', '2e0', '3e0', undefined, undefined, undefined, undefined, undefined])
  assert.equal(at(''), textOf(value))
})

test('a number of very many digits takes no longer than its length', () => {
  const many = `1${'0'.repeat(60_000)}1${'0'.repeat(5000)}`
  assert.equal(form(many), `1${'0'.repeat(60_000)}1e5000`)
})

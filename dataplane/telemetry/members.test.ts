import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as assertProperty, property, string } from 'fast-check'
import { membersOf, milliseconds, numberMember, remembered, textMember, timestamp } from './members.ts'

const parsed = (members: string) => JSON.parse(`{"first":0${members}}`) as Record<string, unknown>

test('a text is in the line what it was, whatever it holds', () => {
  assertProperty(property(string({ unit: 'binary' }), (text) => {
    const line = textMember('name', text)
    assert.equal(parsed(line)['name'], text)
    assert.ok(!/\p{Cc}|\u2028|\u2029/u.test(line))
  }))
  for (const text of ['', '"', '\\', '\n', '\u007F', '\u0085\u009b31m', 'a\u2028b\u2029', '\\\u2028', '\ud83d', 'é', '💶', '","outcome":"allowed']) assert.deepEqual([parsed(textMember('name', text))['name'], parsed(membersOf({ name: text }))['name']], [text, text])
})

test('what there is nothing of is not in the line', () => {
  assert.equal(textMember('a', undefined) + numberMember('b', undefined) + membersOf({}) + membersOf({ c: undefined }), '')
  assert.deepEqual(parsed(membersOf({ a: 'x', b: [1] }) + numberMember('c', 0)), { first: 0, a: 'x', b: [1], c: 0 })
})

test('what is said of one thing is put together once', () => {
  let made = 0
  const members = remembered(({ name }: { name: string }) => {
    made++
    return textMember('name', name)
  })
  const one = { name: 'one' }
  assert.deepEqual([members(one), members(one), members({ name: 'two' }), members(undefined), made], [',"name":"one"', ',"name":"one"', ',"name":"two"', '', 2])
})

test('the time of a line is its own, also where the last line was of another millisecond', () => {
  for (const at of [0, 1, 1, 1_763_706_612_123, 0]) assert.equal(timestamp(at), new Date(at).toISOString())
})

test('milliseconds are told to a thousandth, however many', () => {
  for (const [value, told] of [[0, 0], [0.0004, 0], [0.0005, 0.001], [1.2345, 1.235], [12, 12], [59.9996, 60], [3_600_000.07, 3_600_000.07], [1e12 + 0.5, 1e12 + 0.5]] as const) {
    assert.equal(Number(milliseconds(value)), told)
  }
})

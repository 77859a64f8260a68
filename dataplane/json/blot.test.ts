import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/runs.ts'
import { blotted } from './blot.ts'
import { escaped, placesOf, spread } from './pointer.ts'
import { Unreadable, worked } from './text.ts'

const blot = (text: string, ...pointers: string[]) => {
  const left = worked(blotted(Buffer.from(text), spread(placesOf(pointers.map((pointer) => [pointer, true] as const)))), 0)
  assert.ok(!(left instanceof Promise))
  return left instanceof Unreadable ? left : left.toString()
}

/** The plain way, on values; members of any name are own ones. */
function plainly(value: unknown, [first, ...rest]: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null || first === undefined) return value
  const inner = (name: string, one: unknown): unknown => (first !== '*' && name !== first ? one : rest.length === 0 ? null : plainly(one, rest))
  if (Array.isArray(value)) return (value as readonly unknown[]).map((one, i) => inner(String(i), one))
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, inner(name, one)]))
}

test('what is blotted out is null, and every byte beside it stays', () => {
  assert.equal(blot('{ "a" : [1, 2.50] ,"b":{"c":"x"}, "n":12345678901234567890}', '/a/*', '/b'), '{ "a" : [null, null] ,"b":null, "n":12345678901234567890}')
  assert.equal(blot('{"ssn":1,"\\u0073sn":[2],"a":{"ssn":3}}', '/ssn'), '{"ssn":null,"\\u0073sn":null,"a":{"ssn":3}}')
  assert.equal(blot('[[1,{"x":2}],[3]]', '/*/0', '/0/1/x'), '[[null,{"x":null}],[null]]')
  for (const odd of ['{"ssn":1}x', '{"ssn":1', '{"a":1 "ssn":2}', "{'ssn':1}", '']) assert.ok(blot(odd, '/ssn') instanceof Unreadable, odd)
})

const name = fc.oneof(fc.constantFrom('a', 'b', 'ssn', '__proto__', 'a/b', '~'), fc.nat(3).map(String))
const shaped = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, fc.integer(), fc.string(), fc.constant(null), fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(name, tie('value'), { maxKeys: 5, noNullPrototype: true })),
})).value

test('whatever is blotted out, the rest means what it meant', () => {
  fc.assert(fc.property(shaped, fc.constantFrom(0, 1), fc.array(fc.oneof(name, fc.constant('*')), { minLength: 1, maxLength: 3 }), (value, space, names) => {
    const text = JSON.stringify(value, null, space)
    const left = blot(text, names.map((one) => `/${escaped(one)}`).join(''))
    assert.ok(typeof left === 'string')
    assert.deepEqual(JSON.parse(left), plainly(JSON.parse(text), names))
  }), { numRuns: runs(300) })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { found } from './find.ts'
import { escaped, placesOf, segmentsOf, spread } from './pointer.ts'
import { removed } from './remove.ts'
import { Misplaced, written } from './set.ts'
import { Unreadable, worked } from './text.ts'
import { runs } from '../../test/runs.ts'

const without = (text: string, ...pointers: string[]) => {
  const body = Buffer.from(text)
  const rest = worked(removed(body, spread(placesOf(pointers.map((pointer) => [pointer, true] as const)))), 0)
  assert.ok(!(rest instanceof Promise))
  return rest instanceof Unreadable ? rest : rest.toString()
}
const having = (text: string, values: Readonly<Record<string, string>>) => {
  const body = Buffer.from(text)
  const whole = worked(written(body, placesOf(Object.entries(values)), (text) => text), 0)
  assert.ok(!(whole instanceof Promise))
  return whole instanceof Unreadable ? whole : whole.toString()
}
const at = (text: string, pointer: string) => {
  const place = worked(found(Buffer.from(text), segmentsOf(pointer)), 0)
  assert.ok(!(place instanceof Promise) && !(place instanceof Unreadable))
  return place && Buffer.from(text).toString('utf8', ...place)
}

test('a member goes with the comma that joined it, and every other byte stays', () => {
  assert.equal(without('{"a":1,"b":2,"c":3}', '/a'), '{"b":2,"c":3}')
  assert.equal(without('{ "a" : 1 , "b":2, "c": 12345678901234567890 }', '/b'), '{ "a" : 1 , "c": 12345678901234567890 }')
  assert.equal(without('{"a":1,"b":2,"c":3}', '/c'), '{"a":1,"b":2}')
  assert.equal(without('{"a":1,"b":2,"c":3}', '/b', '/c'), '{"a":1}')
  assert.equal(without('{"a":1,"b":2,"c":3}', '/a', '/b', '/c'), '{}')
  assert.equal(without('{"a":[1,{"x":1,"y":2}],"b":NaN}', '/a/1/x'), '{"a":[1,{"y":2}],"b":NaN}')
  assert.equal(without('[1,2,3]', '/1'), '[1,3]')
  assert.equal(without('{"a":1}', '/b', '/a/b', '/a/0'), '{"a":1}')
  assert.equal(without('"text"', '/b'), '"text"')
})

test('a star stands for every element and member, also beside those that are named', () => {
  assert.equal(without('{"instances":[{"ssn":1,"x":2},{"x":3,"ssn":4}]}', '/instances/*/ssn'), '{"instances":[{"x":2},{"x":3}]}')
  assert.equal(without('{"a":{"p":{"s":1,"t":2},"q":{"s":3}}}', '/a/*/s', '/a/p/t'), '{"a":{"p":{},"q":{}}}')
  assert.equal(without('[[1,2],[3]]', '/*/0'), '[[2],[]]')
})

test('what is named twice, or by an escape, is found whichever way it is written', () => {
  assert.equal(without('{"ssn":1,"a":2,"ssn":3}', '/ssn'), '{"a":2}')
  assert.equal(without(String.raw`{"\u0073sn":1,"a":2}`, '/ssn'), '{"a":2}')
  assert.ok(having('{"a":1,"a":2}', { '/a': '3' }) instanceof Unreadable)
})

test('the escapes of pointers, and the names that objects of JavaScript inherit', () => {
  assert.equal(without('{"a/b":1,"c~d":2,"~1":3}', '/a~1b', '/c~0d', '/~01'), '{}')
  assert.equal(without('{"__proto__":1,"constructor":2,"toString":3}', '/__proto__', '/constructor'), '{"toString":3}')
  assert.equal(having('{"a":1}', { '/__proto__/polluted': 'true' }), '{"a":1,"__proto__":{"polluted":true}}')
  assert.equal(having('{}', { '/constructor': '1', '/a~1b': '2' }), '{"constructor":1,"a/b":2}')
  assert.equal(at('{"__proto__":[7]}', '/__proto__/0'), '7')
  assert.equal(at('{}', '/constructor'), undefined)
  assert.equal('polluted' in {}, false)
})

test('a value is written in its place, and what is missing on the way to it is made', () => {
  assert.equal(having('{"a": 1 ,"b":2}', { '/a': '"x"' }), '{"a": "x" ,"b":2}')
  assert.equal(having('{}', { '/a/b': '1', '/a/c': '2', '/d': '3' }), '{"a":{"b":1,"c":2},"d":3}')
  assert.equal(having('{ }', { '/a': '1' }), '{"a":1 }')
  assert.equal(having('{"parameters":{"x":1}}', { '/parameters/y': '2' }), '{"parameters":{"x":1,"y":2}}')
  assert.equal(having('[1,2]', { '/0': '5', '/-': '3' }), '[5,2,3]')
  assert.equal(having('[]', { '/0': '5', '/1': '6' }), '[5,6]')
  assert.equal(having('{"a":1}', { '': '[]' }), '[]')
})

test('a place that cannot have a value is named', () => {
  for (const [text, pointer] of [['{"a":1}', '/a/b'], ['{"a":"x"}', '/a/b'], ['[1]', '/5'], ['[1]', '/x'], ['7', '/a']] as const) {
    const fault = having(text, { [pointer]: '1' })
    assert.ok(fault instanceof Misplaced, text)
    assert.equal(fault.pointer, pointer)
  }
})

test('what is no JSON, or could be read in two ways, is not touched', () => {
  const hostile = [
    '', '{', '{"a":1', '{"a"}', '{"a":}', '{"a":1,}', '{"a":1}x', '{"a":1}{"ssn":2}', '{"b":/*"*/1,"ssn":2/*"*/}', "{'ssn':1}", '{"a":1 "ssn":2}',
    '[1,]', '[,1]', '{"a":"x}', '{"a":[1}', '\u{feff}{"ssn":1}', '{"\\x":1}', '{a:1}',
  ]
  for (const text of hostile) assert.ok(without(text, '/ssn', '/b/c') instanceof Unreadable, JSON.stringify(text))
})

const json = fc.json({ maxDepth: 4, noUnicodeString: false })
const name = fc.oneof(fc.constantFrom('a', 'b', 'ssn', '__proto__', 'a/b', '~'), fc.nat(3).map(String))
const pointer = fc.array(name, { minLength: 1, maxLength: 3 })
const pretty = fc.tuple(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 1, 2)).map(([value, space]) => JSON.stringify(value, null, space))
const shaped = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, fc.integer(), fc.string(), fc.constant(null), fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(name, tie('value'), { maxKeys: 5, noNullPrototype: true })),
})).value.map((value) => JSON.stringify(value))
const text = fc.oneof(json, pretty, shaped)

/** The plain way, on values; members of any name are own ones. */
function plainly(value: unknown, [first, ...rest]: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null || first === undefined) return value
  if (Array.isArray(value)) {
    return rest.length === 0 ? value.filter((_, i) => String(i) !== first) : value.map((one, i) => (String(i) === first ? plainly(one, rest) : one) as unknown)
  }
  return Object.fromEntries(Object.entries(value).filter(([own]) => own !== first || rest.length > 0)
    .map(([own, one]) => [own, own === first ? plainly(one, rest) : one as unknown]))
}

test('whatever is removed, the rest means what it meant', () => {
  fc.assert(fc.property(text, pointer, (body, names) => {
    const rest = without(body, names.map((one) => `/${escaped(one)}`).join(''))
    assert.ok(typeof rest === 'string')
    assert.deepEqual(JSON.parse(rest), plainly(JSON.parse(body), names))
  }), { numRuns: runs(500) })
})

test('whatever is written is there, and every byte outside of it stays', () => {
  fc.assert(fc.property(text, pointer, fc.jsonValue(), (body, names, value) => {
    const where = names.map((one) => `/${escaped(one)}`).join('')
    const whole = having(body, { [where]: JSON.stringify(value) })
    if (whole instanceof Unreadable) {
      assert.ok(whole instanceof Misplaced)
      return
    }
    assert.deepEqual(JSON.parse(at(whole, where) ?? ''), JSON.parse(JSON.stringify(value)))
    const before = at(body, where)
    // A place that was there keeps everything around it.
    if (before !== undefined) assert.equal(having(whole, { [where]: before }), body)
  }), { numRuns: runs(500) })
})

test('a large body is read in stretches, and comes to the same', async () => {
  const rows = Array.from({ length: 40_000 }, (_, i) => `{"x":${i}.10,"ssn":"${i}","deep":[[${i}],{"y":"z"}]}`)
  const body = Buffer.from(`{"instances":[${rows.join(', ')}]}`)
  const rest = worked(removed(body, spread(placesOf([['/instances/*/ssn', true]]))), body.length)
  assert.ok(rest instanceof Promise)
  assert.equal(String(await rest), `{"instances":[${rows.map((row) => row.replace(/"ssn":"\d+",/, '')).join(', ')}]}`)
})

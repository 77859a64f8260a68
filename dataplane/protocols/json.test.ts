import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { membersOf } from './json.ts'

const of = (text: string | Buffer, name = 'model') => membersOf(Buffer.from(text))?.value(name)

test('what stands in a body is found, whatever stands around it', () => {
  assert.equal(of('{"model":"a"}'), 'a')
  assert.equal(of(' {\n "messages" : [ {"model":"b","x":"}],{\\"model\\":\\""} ] ,\t"mod\\u0065l" : "a" } \n'), 'a')
  assert.equal(of('{"a":"\\\\","model":"a"}'), 'a')
  assert.deepEqual(of('{"model":{"name":["a",1e-3,true,null]}}'), { name: ['a', 1e-3, true, null] })
  assert.equal(of('{}'), undefined)
  assert.notEqual(membersOf(Buffer.from(' { } ')), undefined)
})

for (const [what, body] of [
  ['is named twice', '{"model":"free","model":"dear"}'],
  ['is named twice in another case, which Go takes for the same', '{"model":"free","Model":"dear"}'],
  ['is named twice by an escape', '{"model":"free","mod\\u0065l":"dear"}'],
  ['stands behind a comment', '{/*"*/"model":"free"}'],
  ['stands in a comment', '{"a":[1/*"]*/,2],"model":"free"}'],
  ['stands beside other quotes', `{"a":['"'],"model":"free"}`],
  ['is in UTF-16', Buffer.from('{"model":"free"}', 'utf16le')],
  ['stands behind a byte order mark', '\ufeff{"model":"free"}'],
  ['stands in an array', '[{"model":"free"}]'],
  ['is followed by another object', '{"model":"free"}{"model":"dear"}'],
  ['has a comma after it', '{"model":"free",}'],
  ['has no value', '{"model":}'],
  ['has no name', '{model:"free"}'],
  ['has no end', '{"model":"free"'],
  ['has a string without an end', '{"model":"free}'],
  ['has a bracket too many', '{"a":1],"model":"free"}'],
  ['is compressed', Buffer.from([0x1f, 0x8b, 8, 0, 0])],
  ['is nothing', ''],
] as const) {
  test(`a body whose model ${what} is not understood`, () => assert.equal(membersOf(Buffer.from(body)), undefined))
}

test('whatever JSON is written, its members are those that JSON.parse finds', () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(undefined, 2), (object, indent) => {
    const text = JSON.stringify(object, null, indent)
    const folded = new Set(Object.keys(object).map((key) => key.toUpperCase().toLowerCase()))
    const members = membersOf(Buffer.from(text))
    if (folded.size < Object.keys(object).length) return assert.equal(members, undefined)
    const back = JSON.parse(text) as Record<string, unknown>
    for (const key of Object.keys(object)) assert.deepEqual(members?.value(key), back[key])
  }))
})

test('whatever is cut out of a body or put into it, the model is the one of JSON.parse, or the body is not understood', () => {
  const body = JSON.stringify({ a: [1, { model: 'x' }], model: 'free', 'b"\\': '\\"{', c: null })
  const piece = fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', 'model', '"model":"dear",', ' ', '\\u0065', '1')
  fc.assert(fc.property(fc.nat(body.length), fc.nat(3), piece, (at, cut, put) => {
    const text = body.slice(0, at) + put + body.slice(at + cut)
    let parsed: unknown
    try {
      parsed = JSON.parse(text)
    } catch {
      return
    }
    const members = membersOf(Buffer.from(text))
    if (members !== undefined) assert.deepEqual(members.value('model'), (parsed as { model?: unknown }).model)
  }), { numRuns: 2000 })
})

test('sixteen mebibytes of brackets take less than a second, and no stack', () => {
  const begin = process.cpuUsage()
  assert.equal(membersOf(Buffer.from(`{"model":"a","x":${'['.repeat(2 ** 24)}`)), undefined)
  assert.equal(of(`{"x":"${'\\\\'.repeat(2 ** 22)}","model":"a"}`), 'a')
  assert.ok(process.cpuUsage(begin).user < 1_000_000)
})

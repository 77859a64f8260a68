import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Facts } from './expression.ts'
import { compileValue } from './values.ts'

const facts: Facts = {
  request: {
    method: 'POST', path: '/v1/models/m:predict', host: 'a', headers: new Map([['x-tier', 'gold']]), query: new Map([['q', '1']]), model: 'm',
  },
  principal: { consumer: 'ann', groups: ['a'], scopes: [], claims: new Map() },
}

function valueOf(source: string, body = '{}', answer?: string): string | undefined {
  const value = compileValue(source, answer !== undefined)
  assert.ok(!('fault' in value), 'fault' in value ? `${source}: ${value.fault}` : '')
  const given = answer === undefined ? {} : { answer: { status: 200, headers: new Map([['x-model', 'v3']]), body: Buffer.from(answer) } }
  return value.of({ ...facts, body: Buffer.from(body), ...given })
}

test('a value is made of the request, who calls, and the body', () => {
  assert.equal(valueOf('"eu"'), '"eu"')
  assert.equal(valueOf('request.headers["x-tier"]'), '"gold"')
  assert.equal(valueOf('principal.consumer + "!"'), '"ann!"')
  assert.equal(valueOf('{"a": request.body.x, "b": [1, 2.5, null, true, "t"]}', '{"x":{"y":[1]}}'), '{"a":{"y":[1]},"b":[1,2.5,null,true,"t"]}')
  assert.equal(valueOf('request.body.x * 2 + 1', '{"x":1.5}'), '4')
  assert.equal(valueOf('has(request.body.x) ? request.body.x : "none"', '{}'), '"none"')
  assert.equal(valueOf('request.body.list.map(v, v * 2)', '{"list":[1,2]}'), '[2,4]')
})

test('an answer is seen with its status, its headers and its body', () => {
  assert.equal(valueOf('response.status', '{}', '{}'), '200')
  assert.equal(valueOf('response.headers["x-model"]', '{}', '{}'), '"v3"')
  assert.equal(valueOf('response.body.predictions[0] > 0.5 ? "fraud" : "fine"', '{}', '{"predictions":[0.7]}'), '"fraud"')
  assert.equal(valueOf('request.body.a == response.body.a', '{"a":[1]}', '{"a":[1]}'), 'true')
  assert.match('fault' in compileValue('response.status', false) ? 'fault' : '', /fault/)
})

test('whole numbers that JavaScript cannot hold come out as they went in', () => {
  assert.equal(valueOf('request.body.id', '{"id":12345678901234567890}'), '12345678901234567890')
  assert.equal(valueOf('[request.body.id]', '{"id":-9007199254740993}'), '[-9007199254740993]')
  assert.equal(valueOf('request.body.x', '{"x":0.12345678901234566}'), '0.12345678901234566')
})

test('names that objects of JavaScript inherit are members like any other, or not there', () => {
  assert.equal(valueOf('request.body["__proto__"]', '{"__proto__":{"a":1}}'), '{"a":1}')
  assert.equal(valueOf('request.body', '{"__proto__":{"a":1},"b":2}'), '{"__proto__":{"a":1},"b":2}')
  assert.equal(valueOf('request.body.constructor'), undefined)
  assert.equal('a' in {}, false)
})

test('what cannot be worked out gives nothing', () => {
  for (const source of ['request.body.x', 'request.headers["no"]', '1 / 0', 'request.body.a.b', 'type(1)']) assert.equal(valueOf(source, '{"a":1}'), undefined, source)
  assert.equal(valueOf('request.body', 'no json'), undefined)
  assert.equal(valueOf('request.body', `"${'x'.repeat(1_048_576)}"`), undefined)
})

test('an expression that would take too long on a body is not begun', () => {
  const long = JSON.stringify({ text: 'x'.repeat(200_000), list: Array.from({ length: 2000 }, (_, i) => i) })
  // Of the processor, not of the clock: a busy machine is no fault.
  const begun = process.threadCpuUsage()
  assert.equal(valueOf(`request.body.list.map(v, (${Array.from({ length: 60 }, () => 'request.body.text').join(' + ')}).contains("y"))`, long), undefined)
  assert.equal(valueOf('request.body.list.all(v, request.body == request.body)', long), undefined)
  assert.ok(process.threadCpuUsage(begun).user < 2_000_000)
  assert.equal(valueOf('request.body.list.filter(v, v > 1997)', JSON.stringify({ list: Array.from({ length: 2000 }, (_, i) => i) })), '[1998,1999]')
})

test('a value that would come to more than a megabyte is none', () => {
  const list = JSON.stringify({ big: 'y'.repeat(1000), list: Array.from({ length: 2000 }, (_, i) => i) })
  assert.equal(valueOf('request.body.list.map(v, request.body)', list), undefined)
})

test('an expression says which bodies it reads', () => {
  const reads = (source: string) => {
    const value = compileValue(source, true)
    return 'fault' in value ? value.fault : value.readsRequestBody
  }
  assert.equal(reads('request.body.x'), true)
  assert.equal(reads('response.body.x'), false)
  assert.notEqual(reads('[request].map(r, r.body)[0]'), false)
  assert.equal(reads('has(request.body.x)'), true)
})

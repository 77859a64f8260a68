import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import * as v from 'valibot'
import type { RuleMeasurements } from '../../table/delivery.ts'
import { FromProxy, type Hello } from '../../table/messages.ts'
import { noCounts, told } from '../../table/measurements.ts'
import { MeasurementStore } from './measurements.ts'

const hello = (instance: string, gateway = 'default'): Hello => ({ type: 'hello', schema: 1, node: 'p', instance, gateway, subscribe: true, versions: {} })

function rule(requests: number, errors: number, id = 's1', name = 'infer'): RuleMeasurements {
  const counts = Object.assign(noCounts(0), { requests, errors })
  counts.latency[40] = requests - errors
  return { route: 'ml/fraud', rule: name, id, variants: [told('canary', counts)] }
}
const step = { route: 'ml/fraud', rule: 'infer', id: 's1' }
const canary = (store: MeasurementStore, of = step) => {
  const counts = store.sum(of).get('canary')
  return counts && [counts.requests, counts.errors, counts.latency[40]]
}
const tell = (store: MeasurementStore, instance: string, ...rules: RuleMeasurements[]) => store.take(hello(instance), { type: 'measurements', rules })

test('what each proxy told last is added up, whatever was lost or came twice', () => {
  const store = new MeasurementStore()
  tell(store, 'a', rule(10, 1))
  tell(store, 'a', rule(30, 2))
  tell(store, 'a', rule(30, 2))
  tell(store, 'b', rule(5, 0))
  assert.deepEqual(canary(store), [35, 2, 33])
  tell(store, 'a', rule(10, 1))
  assert.deepEqual(canary(store), [35, 2, 33], 'what comes late takes nothing away')
})

test('a proxy that starts again begins at zero, and what it told before stays', () => {
  const store = new MeasurementStore()
  tell(store, 'a', rule(100, 1))
  tell(store, 'a2', rule(7, 0))
  assert.deepEqual(canary(store), [107, 1, 106])
  assert.equal(store.proxies(step), 2)
})

test('another id is another step: nothing of the one before is in it', () => {
  const store = new MeasurementStore()
  tell(store, 'a', rule(100, 1), rule(3, 0, 's2'))
  assert.deepEqual(canary(store, { ...step, id: 's2' }), [3, 0, 3])
  assert.equal(canary(store, { ...step, id: 's3' }), undefined)
  store.keep(new Set(['ml/fraud\ninfer\ns2']))
  assert.equal(canary(store), undefined)
})

test('fleets do not mix up their proxies, and hostile numbers of them are bounded', () => {
  const store = new MeasurementStore()
  store.take(hello('a', 'one'), { type: 'measurements', rules: [rule(1, 0)] })
  store.take(hello('a', 'two'), { type: 'measurements', rules: [rule(1, 0)] })
  assert.deepEqual(canary(store), [2, 0, 2])
  for (let i = 0; i < 5000; i++) tell(store, `x${i}`, rule(1, 0))
  assert.equal(store.proxies(step), 1000)
  for (let i = 0; i < 60_000; i++) tell(store, 'a', { ...rule(0, 0), id: `made up ${i}`, variants: [] })
  assert.equal(canary(store), undefined, 'the rule heard of longest ago made room')
})

test('what is no measurement is refused before it comes as far', () => {
  const good = { type: 'measurements', rules: [rule(10, 1)] }
  assert.ok(v.is(FromProxy, good))
  const changed = (change: (variant: Record<string, unknown>) => void) => {
    const message = structuredClone(good)
    for (const one of message.rules) for (const variant of one.variants) change(variant)
    return message
  }
  for (const bad of [
    changed((one) => { one['requests'] = -1 }), changed((one) => { one['errors'] = '1' }), changed((one) => { one['requests'] = Infinity }),
    changed((one) => { one['latency'] = { from: -1, counts: [] } }), changed((one) => { one['latency'] = { from: 0, counts: Array(1000).fill(0) } }),
    changed((one) => { one['latency'] = { from: 0.5, counts: [] } }), changed((one) => { one['cost'] = { count: 1, sum: NaN, squares: 0 } }),
    changed((one) => { one['fields'] = Array.from({ length: 100 }, () => ({ count: 0, sum: 0, squares: 0 })) }), changed((one) => { one['extra'] = 1 }),
  ]) assert.ok(!v.is(FromProxy, bad), JSON.stringify(bad).slice(0, 200))
  fc.assert(fc.property(fc.jsonValue(), (value) => { assert.ok(!v.is(FromProxy, { type: 'measurements', rules: [value] })) }))
})

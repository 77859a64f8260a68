import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Limit } from '../../../table/limits.ts'
import { anonymous, type Principal } from '../../pipeline/principal.ts'
import { createKeys } from './counters.ts'
import type { Subject } from '../../metering/subject.ts'

/** As much of a request as counters read. */
const subject = (clientAddress: string, principal?: Partial<Principal>): Subject => {
  const exchange = { clientAddress, principal: principal && { ...anonymous, ...principal } }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return { exchange, model: '', demand: undefined, requestBytes: 0 } as unknown as Subject
}
const keys = (counters: Limit['counters']) => createKeys({ policy: 'ml/p', name: 'l', algorithm: { type: 'Concurrency' }, counters })

test('the addresses of one subscriber are one, and those of two are not', () => {
  const of = keys([{ type: 'SourceIP' }])
  const same = ['2001:db8:1:2::1', '2001:DB8:1:2:ffff::9', '2001:0db8:0001:0002:0:0:0:5', '2001:db8:1:2::%eth0'].map((address) => of(subject(address))[0])
  assert.equal(new Set(same).size, 1)
  const apart = ['2001:db8:1:3::1', '2001:db8::1', '::1', '10.0.0.1', '10.0.0.2', '::ffff:10.0.0.3'].map((address) => of(subject(address))[0])
  assert.equal(new Set([...apart, ...same]).size, 7)
  assert.equal(of(subject('::ffff:10.0.0.1'))[0], of(subject('10.0.0.1'))[0])
})

test('a consumer cannot be named so that they are counted as an address', () => {
  const of = keys([{ type: 'Principal' }])
  assert.notDeepEqual(of(subject('10.0.0.1')), of(subject('10.0.0.2', { consumer: 'ip:10.0.0.1' })))
  assert.notDeepEqual(of(subject('10.0.0.1')), of(subject('10.0.0.2', { consumer: '10.0.0.1' })))
})

test('several groups and the values of a list are each a count, however many, and each only once', () => {
  const of = keys([{ type: 'Group' }, { type: 'Claim', name: 'org' }])
  const claims = new Map([['org', ['x', 'y', 'x']]])
  assert.equal(of(subject('10.0.0.1', { groups: ['b', 'a', 'b'], claims })).length, 4)
  assert.equal(of(subject('10.0.0.1', { groups: [] })).length, 1)
  const many = Array.from({ length: 1000 }, (_, i) => `g${i}`)
  assert.equal(of(subject('10.0.0.1', { groups: many, claims })).length, 256)
})

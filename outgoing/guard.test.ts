import assert from 'node:assert/strict'
import type { LookupAddress, LookupOptions } from 'node:dns'
import { test } from 'node:test'
import { AddressRefused, guardedLookup, mayReach } from './guard.ts'

for (const address of [
  '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255',
  '::', 'fe80::1', 'fe80::1%eth0', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '64:ff9b::a00:1', '2002:a00:1::',
  '::a00:1', 'not an address', '',
]) {
  test(`a URL never leads to ${JSON.stringify(address)}`, () => assert.equal(mayReach(address, { loopback: true }), false))
}

for (const address of ['10.0.0.1', '172.16.0.1', '192.168.1.1', '100.64.0.1', 'fc00::1', '::ffff:10.0.0.1']) {
  test(`${address} only where private networks are open`, () => {
    assert.equal(mayReach(address, { loopback: true }), false)
    assert.equal(mayReach(address, { loopback: false, private: true }), true)
  })
}

for (const address of ['169.254.169.254', 'fd00:ec2::254', '100.100.100.200', '::ffff:169.254.169.254', 'fe80::1', '0.0.0.0', '127.0.0.1', '64:ff9b::a00:1']) {
  test(`${address} is closed also where private networks are open`, () => {
    assert.equal(mayReach(address, { loopback: false, private: true }), false)
  })
}

for (const address of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1']) {
  test(`${address} only where loopback is allowed`, () => {
    assert.equal(mayReach(address, { loopback: false }), false)
    assert.equal(mayReach(address, { loopback: true }), true)
  })
}

for (const address of ['93.184.216.34', '172.32.0.1', '2606:4700::1111', '::ffff:93.184.216.34']) {
  test(`${address} is open`, () => assert.equal(mayReach(address, { loopback: false }), true))
}

const resolving = (addresses: LookupAddress[]) =>
  ((_name: string, _options: LookupOptions, callback: (error: null, found: LookupAddress[]) => void) =>
    callback(null, addresses)) as unknown as Parameters<typeof guardedLookup>[1]

test('DNS rebinding: it is the resolved address that decides, and the open ones of several remain', () => {
  const both = [{ address: '10.0.0.1', family: 4 }, { address: '93.184.216.34', family: 4 }]
  guardedLookup({ loopback: false }, resolving(both))('x.test', { all: true }, (error, found) => {
    assert.equal(error, null)
    assert.deepEqual(found, [both[1]])
  })
  guardedLookup({ loopback: false }, resolving(both))('x.test', {}, (error, found) => assert.deepEqual([error, found], [null, '93.184.216.34']))
  guardedLookup({ loopback: false }, resolving(both.slice(0, 1)))('x.test', { all: true }, (error) => assert.ok(error instanceof AddressRefused))
})

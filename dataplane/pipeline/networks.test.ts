import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseNetworks, plainAddress } from './networks.ts'

test('an address is in a network of its family by its leading bits', () => {
  const within = parseNetworks(['10.0.0.0/8', '192.168.1.7', '2001:db8::/33', '0.0.0.0/32'])
  assert.ok(typeof within === 'function')
  for (const inside of ['10.0.0.0', '10.255.255.255', '192.168.1.7', '2001:db8::1', '2001:0DB8:7fff::', '0.0.0.0']) {
    assert.ok(within(inside) && within(inside), inside)
  }
  for (const outside of ['11.0.0.0', '192.168.1.8', '2001:db8:8000::', '::', '0.0.0.1', '', 'a', '10.0.0', '10.0.0.1:80', '::ffff:11.0.0.1']) {
    assert.ok(!within(outside) && !within(outside), outside)
  }
})

test('what is no network is said so', () => {
  for (const wrong of ['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', 'a/8', '', '/8', '10.0.0/8', 'fe80::%eth0/64', '10.0.0.0/1e1']) {
    assert.equal(typeof parseNetworks(['127.0.0.1', wrong]), 'string', wrong)
  }
})

test('an address of IPv4 is the same however a socket tells it', () => {
  assert.deepEqual(['::ffff:10.0.0.1', '10.0.0.1', '::1', '::ffff:a00:1'].map(plainAddress), ['10.0.0.1', '10.0.0.1', '::1', '::ffff:a00:1'])
})

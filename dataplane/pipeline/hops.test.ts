import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Kind } from './headers.ts'
import { trailOf } from './hops.ts'
import { parseNetworks } from './networks.ts'

const trusted = parseNetworks(['10.0.0.0/8', 'fd00::/8'])
const trail = (peer: string, ...headers: string[]) => {
  assert.ok(typeof trusted === 'function')
  return trailOf(peer, headers, headers.length > 0 ? 1 << Kind.forwarded : 0, trusted)
}
const addresses = (peer: string, ...headers: string[]) => trail(peer, ...headers)?.addresses

test('what an untrusted hop says counts for nothing', () => {
  assert.equal(trail('203.0.113.9', 'x-forwarded-for', '198.51.100.1'), undefined)
  assert.equal(trail('203.0.113.9', 'forwarded', 'for=198.51.100.1'), undefined)
})

test('a trusted hop that says nothing is the caller', () => {
  assert.deepEqual(addresses('10.0.0.1'), ['10.0.0.1'])
  assert.deepEqual(addresses('10.0.0.1', 'x-forwarded-proto', 'https'), ['10.0.0.1'])
})

test('the walk ends at the first address that is not trusted: what stands left of it, the caller wrote', () => {
  assert.deepEqual(addresses('10.0.0.1', 'x-forwarded-for', '203.0.113.9'), ['203.0.113.9', '10.0.0.1'])
  assert.deepEqual(addresses('10.0.0.1', 'x-forwarded-for', '10.9.9.9, 203.0.113.9,10.0.0.2'), ['203.0.113.9', '10.0.0.2', '10.0.0.1'])
  assert.deepEqual(addresses('10.0.0.1', 'x-forwarded-for', '127.0.0.1', 'x-forwarded-for', '203.0.113.9'), ['203.0.113.9', '10.0.0.1'])
  assert.deepEqual(addresses('10.0.0.1', 'x-forwarded-for', '10.0.0.3, 10.0.0.2'), ['10.0.0.3', '10.0.0.2', '10.0.0.1'])
})

test('what cannot be read ends the walk: the hop that wrote it is the caller', () => {
  for (const odd of ['unknown', '', '_hidden', '203.0.113.9 x', '203.0.113.999', '[::1', '::1%eth0', 'a.example', '203.0.113.9:x', '1.2.3.4:123456']) {
    assert.deepEqual(addresses('10.0.0.1', 'x-forwarded-for', `198.51.100.1, ${odd}`), ['10.0.0.1'], odd)
    assert.deepEqual(addresses('10.0.0.1', 'x-forwarded-for', `198.51.100.1, ${odd}, 10.0.0.2`), ['10.0.0.2', '10.0.0.1'], odd)
  }
})

test('addresses are read with ports, brackets and as IPv6 tells IPv4', () => {
  for (const [text, address] of [
    ['203.0.113.9:4711', '203.0.113.9'], ['2001:db8::9', '2001:db8::9'], ['[2001:db8::9]', '2001:db8::9'],
    ['[2001:db8::9]:4711', '2001:db8::9'], ['::ffff:203.0.113.9', '203.0.113.9'], ['fd00::1', 'fd00::1'],
  ]) assert.deepEqual(addresses('10.0.0.1', 'x-forwarded-for', text ?? ''), [address, '10.0.0.1'])
})

test('Forwarded is read where there is no X-Forwarded-For, whatever its case, quotes and order', () => {
  for (const text of ['for=203.0.113.9', 'For="203.0.113.9:80"', 'proto=https; for=203.0.113.9;by=_x', 'for=10.9.9.9, FOR = 203.0.113.9']) {
    assert.deepEqual(addresses('10.0.0.1', 'forwarded', text), ['203.0.113.9', '10.0.0.1'], text)
  }
  assert.deepEqual(trail('10.0.0.1', 'forwarded', 'for=9.9.9.9, for="[2001:db8::9]:80";proto=https, for=10.0.0.2;by="a,b"'), {
    addresses: ['2001:db8::9', '10.0.0.2', '10.0.0.1'],
    elements: ['for="[2001:db8::9]:80";proto=https', 'for=10.0.0.2;by="a,b"'],
  })
  assert.deepEqual(addresses('10.0.0.1', 'forwarded', 'for=203.0.113.9', 'x-forwarded-for', '198.51.100.1'), ['198.51.100.1', '10.0.0.1'])
})

test('a caller cannot hide behind quotes, other parameters or a hop that is unknown', () => {
  for (const text of ['for="x, for="203.0.113.9"', 'by="for=1.1.1.1", proto=https', 'xfor=1.1.1.1', 'for=unknown', 'for="_a;for=1.1.1.1"', 'for=1.1.1.1"x"']) {
    assert.deepEqual(addresses('10.0.0.1', 'forwarded', text), ['10.0.0.1'], text)
  }
  assert.deepEqual(addresses('10.0.0.1', 'forwarded', 'for="x, for=203.0.113.9'), ['203.0.113.9', '10.0.0.1'])
})

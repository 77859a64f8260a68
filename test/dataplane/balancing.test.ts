import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { Balance } from '../../table/resilience.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'

/** Backends that say which of them answers, unless told otherwise. */
function backends(t: TestContext, count: number, listener: (index: number) => RequestListener = (index) => (_, response) => response.end(String(index))): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => httpUpstream(t, listener(index))))
}

const tableOf = (version: string, balance: Balance, ports: readonly number[]) =>
  active(version, [route({ rules: [rule({ balance })] })], { 'ml/s:80': ports })

async function ask(url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  return (await fetch(url, { headers })).text()
}

const times = async <T>(count: number, of: () => Promise<T>): Promise<T[]> => {
  const all: T[] = []
  for (let i = 0; i < count; i++) all.push(await of())
  return all
}

test('PeakEWMA asks a slow endpoint and one that fails once, and the others from then on', async (t) => {
  const ports = await backends(t, 6, (index) => (_, response) => {
    if (index === 1) response.statusCode = 503
    setTimeout(() => response.end(String(index)), index === 0 ? 200 : 0)
  })
  const { url } = await testProxy(t, tableOf('1', { policy: 'PeakEWMA' }, ports))
  const asked = await times(100, () => ask(url))
  assert.equal(asked.filter((one) => one === '0').length, 1)
  assert.equal(asked.filter((one) => one === '1').length, 1)
  assert.equal(new Set(asked).size, 6)
})

test('what PeakEWMA has learnt outlives the table', async (t) => {
  const ports = await backends(t, 3, (index) => (_, response) => { setTimeout(() => response.end(String(index)), index === 0 ? 200 : 0) })
  const { url, activate } = await testProxy(t, tableOf('1', { policy: 'PeakEWMA' }, ports))
  await times(10, () => ask(url))
  activate(tableOf('2', { policy: 'PeakEWMA', slowStart: 1 }, ports))
  assert.ok(!(await times(20, () => ask(url))).includes('0'))
})

test('ConsistentHash: a header, a cookie or a caller stays on its endpoint, over tables and while others come', async (t) => {
  const ports = await backends(t, 5)
  const keys = [
    [{ by: 'Header', name: 'x-user' }, (user: string) => ({ 'x-user': user })],
    [{ by: 'Cookie', name: 'session' }, (user: string) => ({ cookie: `other=1; session=${user}` })],
  ] as const
  for (const [key, headers] of keys) {
    const { url, activate } = await testProxy(t, tableOf('1', { policy: 'ConsistentHash', key }, ports.slice(0, 4)))
    const users = Array.from({ length: 30 }, (_, i) => `user-${i}`)
    // One after the other: what is in flight at once would meet the bound.
    const owners = async () => {
      const found = new Map<string, string>()
      for (const user of users) found.set(user, await ask(url, headers(user)))
      return found
    }
    const before = await owners()
    assert.ok(new Set(before.values()).size > 1, 'not everybody is on the same one')
    activate(tableOf('2', { policy: 'ConsistentHash', key }, ports.slice(0, 4)))
    assert.deepEqual(await owners(), before)
    activate(tableOf('3', { policy: 'ConsistentHash', key }, ports))
    for (const [user, owner] of await owners()) assert.ok(owner === before.get(user) || owner === '4', `${user} moved from ${before.get(user)} to ${owner}`)
    assert.equal(new Set(await times(10, () => ask(url))).size, 5, 'without a key they take turns')
  }
  const { url } = await testProxy(t, tableOf('1', { policy: 'ConsistentHash', key: { by: 'Principal' } }, ports))
  assert.equal(new Set(await times(10, () => ask(url))).size, 1, 'a caller nobody knows is its address')
})

test('explain tells how the endpoints look to the policy', async (t) => {
  const ports = await backends(t, 3)
  const { url, urls } = await testProxy(t, tableOf('1', { policy: 'ConsistentHash', key: { by: 'Header', name: 'x-user' } }, ports))
  const owner = await ask(url, { 'x-user': 'ann' })
  const answer = await fetch(`${urls.admin}/explain`, { method: 'POST', body: JSON.stringify({ url: '/', headers: { 'x-user': 'ann' } }) })
  const { endpoint, endpoints } = await answer.json() as { endpoint: string; endpoints: { endpoint: string; why: string }[] }
  assert.equal(endpoint, `127.0.0.1:${ports[Number(owner)]}`)
  assert.deepEqual(endpoints.map(({ why }) => why), [
    'has the key, 0 of at most 4 in flight', '1 after it on the ring, 0 of at most 4 in flight', '2 after it on the ring, 0 of at most 4 in flight',
  ])
})

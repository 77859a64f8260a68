import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually, httpUpstream } from '../sockets.ts'
import { failing, metric, recording, retry, ruleOver } from './rig.ts'

const hedge = (after: number, budgetPercent = 100) => ({ hedge: { after, budgetPercent } })
const infer = '/v2/models/m/infer'

test('where the first is silent a second is asked, the first answer wins and the other is cancelled', { timeout: 120_000 }, async (t) => {
  let cancelled = 0
  const slow = await httpUpstream(t, (_request, response) => { response.once('close', () => { cancelled++ }) })
  const fast = await recording(t, (_request, response) => response.end('fast'))
  const proxy = await ruleOver(t, [slow, fast.port], hedge(30))
  const answer = await fetch(proxy.url + infer, { method: 'POST', body: '{"inputs":[]}' })
  assert.equal(await answer.text(), 'fast')
  await eventually(() => cancelled === 1)
  await eventually(() => proxy.lines().length === 1)
  assert.deepEqual([proxy.lines()[0]?.['endpoint'], proxy.lines()[0]?.['tries']], [`127.0.0.1:${fast.port}`, 2])
  assert.match(String(await metric(proxy, 'modelroute_hedges_total')), /result="won"\} 1$/)
})

test('a first that answers meanwhile is not waited for in vain: the second is cancelled', { timeout: 120_000 }, async (t) => {
  let asked = 0
  let cancelled = 0
  const first = await httpUpstream(t, (_request, response) => {
    const wait = setInterval(() => { if (asked === 1) { clearInterval(wait); response.end('first') } }, 2)
  })
  const second = await httpUpstream(t, (_request, response) => {
    asked++
    response.once('close', () => { cancelled++ })
  })
  const proxy = await ruleOver(t, [first, second], hedge(20))
  assert.equal(await (await fetch(proxy.url)).text(), 'first')
  await eventually(() => cancelled === 1)
  assert.match(String(await metric(proxy, 'modelroute_hedges_total')), /result="lost"\} 1$/)
})

test('what must not be done twice is not asked of two, whatever it waits', { timeout: 120_000 }, async (t) => {
  const slow = await httpUpstream(t, (request, response) => { request.resume().once('end', () => setTimeout(() => response.end('slow'), 150)) })
  const other = await recording(t, (_request, response) => response.end('other'))
  const proxy = await ruleOver(t, [slow, other.port], { ...hedge(20), balance: { policy: 'RoundRobin' } })
  const calls: readonly (readonly [string, RequestInit])[] = [
    ['/x', { method: 'POST', body: 'x' }],
    [infer, { method: 'POST', body: '{"parameters":{"sequence_id":1}}' }],
    [infer, { method: 'POST', body: 'x'.repeat(2_000_000) }],
    ['/v2/repository/models/m/load', { method: 'POST', body: '{}' }],
  ]
  for (const [path, init] of calls) {
    const only = await ruleOver(t, [slow, other.port], hedge(20))
    assert.equal(await (await fetch(only.url + path, init)).text(), 'slow', path)
  }
  assert.equal(other.seen.length, 0)
  await proxy.close()
})

test('second requests are a share of all: beyond it the first is waited for', { timeout: 120_000 }, async (t) => {
  let asked = 0
  const port = () => httpUpstream(t, (_request, response) => { asked++; setTimeout(() => response.end('late'), 60) })
  const proxy = await ruleOver(t, [await port(), await port()], hedge(10, 5))
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 10 }, async () => (await fetch(proxy.url)).text()))
  // One to begin with, and five of a hundred.
  assert.ok(asked > 100 && asked <= 106, String(asked))
  assert.equal((await metric(proxy, 'modelroute_hedges_total')).length > 0, true)
})

test('of two, an error does not win over one that may still answer', { timeout: 120_000 }, async (t) => {
  let second = 0
  const slow = await httpUpstream(t, (_request, response) => {
    const wait = setInterval(() => { if (second === 1) { clearInterval(wait); setTimeout(() => response.end('slow'), 50) } }, 2)
  })
  for (const fail of ['HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n', '']) {
    second = 0
    const bad = await failing(t, (socket) => {
      second++
      socket.end(fail)
    })
    const proxy = await ruleOver(t, [slow, bad.port], hedge(20))
    assert.equal(await (await fetch(proxy.url)).text(), 'slow')
  }
})

test('where both fail the rest of the retries are for what is left', { timeout: 120_000 }, async (t) => {
  const dies = () => failing(t, (socket) => setTimeout(() => socket.destroy(), 40))
  const good = await recording(t, (_request, response) => response.end('good'))
  const proxy = await ruleOver(t, [(await dies()).port, (await dies()).port, good.port], { ...hedge(10), retry: retry() })
  assert.equal(await (await fetch(proxy.url)).text(), 'good')
})

test('one endpoint is not asked twice at once', { timeout: 120_000 }, async (t) => {
  let asked = 0
  const port = await httpUpstream(t, (_request, response) => { asked++; setTimeout(() => response.end('only'), 100) })
  const proxy = await ruleOver(t, [port], hedge(10))
  assert.equal(await (await fetch(proxy.url)).text(), 'only')
  assert.equal(asked, 1)
})

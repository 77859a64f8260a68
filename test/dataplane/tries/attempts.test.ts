import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { deadPort, eventually, httpUpstream, rawClient } from '../sockets.ts'
import { inTime, watchMachine } from '../../machine.ts'
import { failing, metric, recording, retry, ruleOver } from './rig.ts'

const resets = (socket: Socket): void => { socket.resetAndDestroy() }
const unavailable = (socket: Socket): void => { socket.end('HTTP/1.1 503 No\r\ncontent-length: 2\r\nx-own: 1\r\n\r\nno') }

test('every endpoint is asked once before one is asked again, and no more often than attempts says', { timeout: 120_000 }, async (t) => {
  const all = await Promise.all([1, 2, 3].map(() => failing(t, resets)))
  for (const [attempts, tries] of [[0, 1], [1, 2], [2, 3], [5, 6]] as const) {
    for (const { seen } of all) seen.length = 0
    const proxy = await ruleOver(t, all.map(({ port }) => port), { retry: retry({ attempts }) })
    const answer = await fetch(proxy.url)
    assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [502, 'upstream_reset'])
    const counts = all.map(({ seen }) => seen.length)
    assert.equal(counts.reduce((sum, count) => sum + count, 0), tries)
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, String(counts))
    await eventually(() => proxy.lines().length === 1)
    assert.equal(proxy.lines()[0]?.['tries'], tries > 1 ? tries : undefined)
  }
})

test('when all have failed the one that failed last is not asked next', { timeout: 120_000 }, async (t) => {
  const order: number[] = []
  const all = await Promise.all([0, 1].map((at) => failing(t, (socket) => {
    order.push(at)
    resets(socket)
  })))
  const proxy = await ruleOver(t, all.map(({ port }) => port), { retry: retry({ attempts: 9 }), balance: { policy: 'LeastRequest' } })
  assert.equal((await fetch(proxy.url)).status, 502)
  assert.equal(order.length, 10)
  for (const [i, at] of order.entries()) assert.notEqual(at, order[i - 1], String(order))
})

test('what cannot be tried again is answered by what came last: a listed status goes out as it came', { timeout: 120_000 }, async (t) => {
  const bad = await failing(t, unavailable)
  const proxy = await ruleOver(t, [bad.port], { retry: retry({ attempts: 2, codes: [503] }) })
  const answer = await fetch(proxy.url, { method: 'POST', body: 'x' })
  assert.deepEqual([answer.status, answer.headers.get('x-own'), await answer.text(), bad.seen.length], [503, '1', 'no', 3])
  const untouched = await fetch((await ruleOver(t, [(await failing(t, unavailable)).port], { retry: retry() })).url)
  assert.equal(untouched.headers.get('x-own'), '1')
})

test('after the first byte of an answer nothing is tried again', { timeout: 120_000 }, async (t) => {
  const bad = await failing(t, (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf'))
  const good = await recording(t, (_request, response) => response.end('good'))
  const proxy = await ruleOver(t, [bad.port, good.port], { retry: retry({ attempts: 3, codes: [503] }) })
  const answer = await fetch(proxy.url)
  assert.equal(answer.status, 200)
  await assert.rejects(answer.text())
  assert.equal(good.seen.length, 0)
})

test('inference is repeated where the rule says that it may be, and sequences are not', { timeout: 120_000 }, async (t) => {
  const twice = retry({ inference: true })
  const cases = [
    ['/v2/models/m/infer', '{"inputs":[]}', true],
    ['/v2/models/m/versions/3/infer', '{"inputs":[]}', true],
    ['/v1/models/m:predict', '{"instances":[1]}', true],
    ['/v1/chat/completions', '{"messages":[]}', true],
    ['/v2/models/m/infer', '{"parameters":{"sequence_id":7},"inputs":[]}', false],
    ['/v2/repository/models/m/load', '{}', false],
    ['/v1/files', 'x', false],
    ['/v1/responses', '{}', false],
    ['/x', '{}', false],
  ] as const
  for (const [path, body, again] of cases) {
    const bad = await failing(t, resets)
    const good = await recording(t, (_request, response) => response.end('good'))
    const proxy = await ruleOver(t, [bad.port, good.port], { retry: twice })
    const { status } = await fetch(proxy.url + path, { method: 'POST', body })
    assert.deepEqual([status, good.seen.length], again ? [200, 1] : [502, 0], `${path} ${body}`)
  }
})

test('reasons that are not listed are not tried again', { timeout: 120_000 }, async (t) => {
  const good = await recording(t, (_request, response) => response.end('good'))
  const silent = await failing(t, () => {})
  const bad = await failing(t, resets)
  const timeouts = { request: 5000, firstByte: 50, connect: 10_000 }
  for (const [port, reasons, status] of [[bad.port, ['timeout'], 502], [silent.port, ['reset-before-response'], 504]] as const) {
    const proxy = await ruleOver(t, [port, good.port], { retry: retry({ reasons: [...reasons] }), timeouts })
    assert.equal((await fetch(proxy.url)).status, status)
  }
  assert.equal(good.seen.length, 0)
})

test('a try that is too late is taken back, and its connection closed', { timeout: 120_000 }, async (t) => {
  let closed = 0
  const silent = await failing(t, (socket) => socket.once('close', () => { closed++ }))
  const good = await recording(t, (_request, response) => response.end('good'))
  const proxy = await ruleOver(t, [silent.port, good.port], { retry: retry({ reasons: ['timeout'] }), timeouts: { request: 5000, backendRequest: 60, connect: 10_000 } })
  assert.equal(await (await fetch(proxy.url)).text(), 'good')
  await eventually(() => closed === 1)
})

test('retries stop where the share of the requests in progress is used up, and go on when it is not', { timeout: 120_000 }, async (t) => {
  const held: Socket[] = []
  let fail = false
  const bad = await failing(t, (socket) => { if (fail) resets(socket); else held.push(socket) })
  const proxy = await ruleOver(t, [bad.port], { retry: retry({ attempts: 10, budgetPercent: 10, backoff: 60_000 }), timeouts: {} })
  const client = await Promise.all(Array.from({ length: 200 }, async () => {
    const one = await rawClient(t, proxy.url)
    one.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    return one
  }))
  await eventually(() => held.length === 200)
  fail = true
  for (const socket of held) resets(socket)
  // Twenty of two hundred wait to be tried again, and the others are told.
  await eventually(() => client.filter((one) => one.text().includes(' 502 ')).length === 180)
  for (const one of client) one.socket.destroy()
  await eventually(() => proxy.lines().length === 200)
  held.length = 0
  fail = false
  const again = await rawClient(t, proxy.url)
  again.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => held.length === 1)
  fail = true
  held[0]?.resetAndDestroy()
  await eventually(() => bad.seen.length >= 201)
  assert.equal(again.text(), '')
})

test('a share of nothing is no retry', { timeout: 120_000 }, async (t) => {
  const bad = await failing(t, resets)
  const proxy = await ruleOver(t, [bad.port], { retry: retry({ attempts: 3, budgetPercent: 0 }) })
  assert.equal((await fetch(proxy.url)).status, 502)
  assert.equal(bad.seen.length, 1)
})

test('a retry that could not begin before the request must be over is not waited for', { timeout: 120_000 }, async (t) => {
  const bad = await failing(t, resets)
  const proxy = await ruleOver(t, [bad.port], { retry: retry({ attempts: 3, backoff: 3_600_000 }), timeouts: { request: 4000, connect: 10_000 } })
  const machine = watchMachine()
  const from = performance.now()
  const { status } = await fetch(proxy.url)
  // A wait below four seconds of an hour is drawn once in nine hundred times.
  assert.ok(status === 502 || status === 504)
  inTime(t, 'to be told', performance.now() - from, 4500, machine())
})

test('a client that leaves while a retry is waited for ends it', { timeout: 120_000 }, async (t) => {
  const bad = await failing(t, resets)
  const proxy = await ruleOver(t, [bad.port], { retry: retry({ attempts: 1, backoff: 500 }) })
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => bad.seen.length === 1)
  client.socket.destroy()
  await eventually(() => proxy.lines().length === 1)
  assert.ok(['client_closed', 'upstream_reset'].includes(String(proxy.lines()[0]?.['code'])))
})

test('an early refusal of a large upload is tried again with all of it, also while it still comes', { timeout: 120_000 }, async (t) => {
  const bad = await failing(t, () => {})
  const port = await httpUpstream(t, (_request, response) => response.writeHead(503, { connection: 'close' }).end('busy'))
  const good = await recording(t, (_request, response) => response.end('good'))
  const proxy = await ruleOver(t, [port, good.port], { retry: retry({ codes: [503] }) })
  const client = await rawClient(t, proxy.url)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n')
  const line = async () => (await metric(proxy, 'modelroute_retries_total'))[0]
  while (await line() === undefined) await new Promise((resolve) => { setTimeout(resolve, 5) })
  client.send('6\r\nsecond\r\n0\r\n\r\n')
  await client.until((text) => text.includes('good'))
  assert.deepEqual(good.seen, ['firstsecond'])
  assert.equal(bad.seen.length, 0)
})

test('without retry only what nobody had is sent again, once, and no status is', { timeout: 120_000 }, async (t) => {
  const good = await recording(t, (_request, response) => response.end('good'))
  const dead = await deadPort()
  const proxy = await ruleOver(t, [dead, good.port])
  assert.equal(await (await fetch(proxy.url, { method: 'POST', body: 'x' })).text(), 'good')
  const bad = await failing(t, unavailable)
  assert.equal((await fetch((await ruleOver(t, [bad.port, good.port])).url)).status, 503)
  const gone = await ruleOver(t, [dead, await deadPort(), good.port])
  assert.equal((await fetch(gone.url)).status, 502)
  assert.equal(good.seen.length, 1)
})

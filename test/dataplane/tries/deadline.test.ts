import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Rule } from '../../../table/route.ts'
import { eventually, httpUpstream } from '../sockets.ts'
import { retry, ruleOver } from './rig.ts'

const header = 'x-request-deadline'
const rule = (more: Partial<Rule> = {}): Partial<Rule> => ({ deadlineHeader: header, timeouts: { request: 1000, connect: 10_000 }, ...more })

async function telling(t: TestContext, answer = (n: number) => n > 0) {
  const seen: (string | undefined)[] = []
  const port = await httpUpstream(t, (request, response) => {
    seen.push(request.headers[header]?.toString())
    if (answer(seen.length)) response.end('ok')
    else setTimeout(() => response.writeHead(503).end(), 60)
  })
  return { port, seen }
}

test('the caller may ask for less time, in seconds or as a duration, and not for more', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, () => {})
  const proxy = await ruleOver(t, [port], rule({ timeouts: { request: 1500, connect: 10_000 } }))
  const cases = [['0.1', 95, 1400], ['100ms', 95, 1400], ['0s100ms', 95, 1400], ['60', 1495, 5000], ['1h', 1495, 5000], ['0', 0, 1400]] as const
  await Promise.all(cases.map(async ([value, from, to]) => {
    const at = performance.now()
    const answer = await fetch(proxy.url, { headers: { [header]: value } })
    const took = performance.now() - at
    assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [504, 'timeout'], value)
    assert.ok(took >= from && took < to, `${value}: ${took}`)
  }))
})

test('one that cannot be understood is refused', { timeout: 120_000 }, async (t) => {
  const { port, seen } = await telling(t)
  const proxy = await ruleOver(t, [port], rule())
  for (const value of ['soon', '-1', '1e3', '1.5s', '10us', '5 s', '1,2', '100000ms', '']) {
    const answer = await fetch(proxy.url, { headers: { [header]: value } })
    assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [400, 'invalid_request'], value)
  }
  assert.equal(seen.length, 0)
})

test('the backend is told what is left, in the form that the caller chose, and less at each try', { timeout: 120_000 }, async (t) => {
  for (const [value, read] of [['0.9', (text = '') => Number(text) * 1000], ['900ms', (text = '') => Number.parseInt(text, 10)]] as const) {
    const { port, seen } = await telling(t, (n) => n === 3)
    const proxy = await ruleOver(t, [port], rule({ retry: retry({ attempts: 2, codes: [503] }) }))
    assert.equal((await fetch(proxy.url, { headers: { [header]: value } })).status, 200)
    const [first = 0, next = 0, last = 0] = seen.map((text) => read(text))
    assert.ok(first <= 900 && first > 700 && next <= first - 58 && last <= next - 58 && last > 300, String(seen))
  }
})

test('the backend is told no more than one try may take', { timeout: 120_000 }, async (t) => {
  const { port, seen } = await telling(t)
  const proxy = await ruleOver(t, [port], rule({ timeouts: { request: 60_000, backendRequest: 2000, connect: 10_000 } }))
  assert.equal((await fetch(proxy.url, { headers: { [header]: '30s' } })).status, 200)
  assert.equal(seen[0], '2000ms')
})

test('a caller who says nothing is not spoken for, and a rule without the field leaves the header alone', { timeout: 120_000 }, async (t) => {
  const { port, seen } = await telling(t)
  assert.equal((await fetch((await ruleOver(t, [port], rule())).url)).status, 200)
  const { deadlineHeader: _, ...plain } = rule()
  assert.equal((await fetch((await ruleOver(t, [port], plain)).url, { headers: { [header]: 'soon' } })).status, 200)
  assert.deepEqual(seen, [undefined, 'soon'])
})

test('an open-ended answer meets the deadline with its head', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    setTimeout(() => response.end('data: 2\n\n'), 250)
  })
  const proxy = await ruleOver(t, [port], rule())
  assert.equal(await (await fetch(proxy.url, { headers: { [header]: '0.1' } })).text(), 'data: 1\n\ndata: 2\n\n')
  await eventually(() => proxy.lines().length === 1)
  assert.equal(proxy.lines()[0]?.['code'], undefined)
})

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Rule } from '../../../table/route.ts'
import { deadPort, rawClient } from '../sockets.ts'
import { failing, metric, recording, retry, ruleOver, type Counted } from './rig.ts'

/**
 * Every way in which the first endpoint fails, by method and body: whether the second is asked, under a rule that asks
 * for everything. What may have been acted on is sent again only where twice is as once.
 */
const infer = '/v2/models/m/infer'
type Failing = Readonly<{ what: string; reason: string; begin(t: TestContext): Promise<Counted> }>
const answering = (text: string) => (socket: Socket) => { socket.end(text) }
const failures: readonly (Failing & Readonly<{ unstarted: boolean }>)[] = [
  { what: 'nobody listens', reason: 'connect-failure', unstarted: true, begin: async () => ({ port: await deadPort(), seen: [] }) },
  { what: 'the connection is reset after the request', reason: 'reset-before-response', unstarted: false, begin: (t) => failing(t, (socket) => socket.resetAndDestroy()) },
  { what: 'the connection is closed after the request', reason: 'reset-before-response', unstarted: false, begin: (t) => failing(t, (socket) => socket.end()) },
  { what: 'the connection is closed in the head of the answer', reason: 'reset-before-response', unstarted: false, begin: (t) => failing(t, answering('HTTP/1.1 200 OK\r\ncontent-le')) },
  { what: 'the answer is not HTTP', reason: 'reset-before-response', unstarted: false, begin: (t) => failing(t, answering('SSH-2.0-x\r\n\r\n')) },
  { what: 'there is no answer in time', reason: 'timeout', unstarted: false, begin: (t) => failing(t, () => {}) },
  { what: '503', reason: '503', unstarted: true, begin: (t) => failing(t, answering('HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno')) },
  { what: '500', reason: '500', unstarted: false, begin: (t) => failing(t, answering('HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno')) },
]

const calls: readonly Readonly<{ what: string; method: string; path?: string; headers?: Readonly<Record<string, string>>; idempotent: boolean; bodies: boolean }>[] = [
  { what: 'GET', method: 'GET', idempotent: true, bodies: false },
  { what: 'PUT', method: 'PUT', idempotent: true, bodies: true },
  { what: 'DELETE', method: 'DELETE', idempotent: true, bodies: true },
  { what: 'POST', method: 'POST', idempotent: false, bodies: true },
  { what: 'PATCH', method: 'PATCH', idempotent: false, bodies: true },
  { what: 'POST with an Idempotency-Key', method: 'POST', headers: { 'idempotency-key': 'k1' }, idempotent: true, bodies: true },
  { what: 'POST that infers', method: 'POST', path: infer, idempotent: false, bodies: true },
]

const small = '{"inputs":[]}'
const large = 'x'.repeat(200_000)
const huge = 'x'.repeat(2_000_000)
const bodies: readonly Readonly<{ what: string; text: string; chunked: boolean; kept: boolean }>[] = [
  { what: 'no body', text: '', chunked: false, kept: true },
  { what: 'a small body', text: small, chunked: false, kept: true },
  { what: 'a body in chunks', text: small, chunked: true, kept: true },
  { what: 'a streamed body', text: large, chunked: false, kept: true },
  { what: 'a body too large to keep', text: huge, chunked: false, kept: false },
]

const asked = {
  retry: retry({ reasons: ['connect-failure', 'reset-before-response', 'timeout'], codes: [500, 503] }),
  timeouts: { request: 30_000, connect: 5000 },
} satisfies Partial<Rule>

type Answer = Readonly<{ status: number; text: string }>

async function send(t: TestContext, url: string, { method, path = '/x', headers = {} }: (typeof calls)[number], body: (typeof bodies)[number]): Promise<Answer> {
  const client = await rawClient(t, url)
  const framing = body.text === '' ? '' : body.chunked ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${body.text.length}\r\n`
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  client.socket.write(`${method} ${path} HTTP/1.1\r\nHost: a\r\n${lines}${framing}\r\n`)
  client.socket.write(body.chunked ? `${body.text.length.toString(16)}\r\n${body.text}\r\n0\r\n\r\n` : body.text)
  const text = await client.until((all) => /\r\n\r\n/.test(all))
  client.socket.destroy()
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), text }
}

async function holds(t: TestContext, failure: (typeof failures)[number], call: (typeof calls)[number], body: (typeof bodies)[number]): Promise<void> {
  const good = await recording(t, (_request, response) => response.end('good'))
  const bad = await failure.begin(t)
  const proxy = await ruleOver(t, [bad.port, good.port], failure.reason === 'timeout' ? { ...asked, timeouts: { ...asked.timeouts, firstByte: 500 } } : asked)
  const { status } = await send(t, proxy.url, call, body)
  const name = `${call.what}, ${body.what}`
  // Before a connection nothing of a body has gone out, so none is too large.
  const repeatable = failure.reason === 'connect-failure' || body.kept
  const again = (failure.unstarted || call.idempotent) && repeatable
  assert.equal(good.seen.length, again ? 1 : 0, name)
  if (again) assert.ok(good.seen[0] === (body.text || call.path || '/x'), `${name}: another body`)
  assert.equal(status === 200, again, `${name}: ${status}`)
  if (failure.reason !== 'connect-failure') assert.equal(bad.seen.length, 1, name)
  const [line] = await metric(proxy, 'modelroute_retries_total')
  assert.equal(line?.includes(`reason="${failure.reason}"`) === true, again, `${name}: ${line}`)
  await proxy.close()
}

for (const failure of failures) {
  test(`${failure.what}: sent again exactly where that does no harm, whatever the method and the body`, { timeout: 200_000 }, async (t) => {
    const cases = calls.flatMap((call) => bodies.filter(({ text }) => text === '' || call.bodies).map((body) => [call, body] as const))
    // Those that wait for their time do it together.
    if (failure.reason === 'timeout') await Promise.all(cases.map(([call, body]) => holds(t, failure, call, body)))
    else for (const [call, body] of cases) await holds(t, failure, call, body)
  })
}

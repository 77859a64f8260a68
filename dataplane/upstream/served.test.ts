import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { failure } from '../pipeline/errors.ts'
import { Exchange, type Stage } from '../pipeline/exchange.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { createRuntime } from '../runtime.ts'
import type { Controller } from './dispatch.ts'
import { innerRequest, InnerResponse } from './inner.ts'
import { Served, type Made, type Maker } from './served.ts'

const made = (body: string | Buffer): Made => ({ status: 200, headers: ['content-type', 'text/plain'], body: Buffer.from(body) })

/** Somebody who asked, and what he got. */
function caller() {
  const got = { status: 0, headers: [] as readonly string[], pieces: [] as Buffer[], trailers: [] as readonly string[], whole: false }
  let controller: Controller | undefined
  let paused = false
  const response = new InnerResponse({
    onResponseStart(from, status, headers) {
      controller = from
      if (paused) from.pause()
      Object.assign(got, { status, headers })
    },
    onResponseData: (_from, chunk) => { got.pieces.push(chunk) },
    onResponseFlush: () => true,
    onResponseEnd: (_from, trailers) => { Object.assign(got, { trailers, whole: true }) },
    onResponseError() {},
  })
  const received = {
    method: 'POST', host: 'h', authority: 'h', path: '/v2/models/m/infer', query: '', headers: [], seen: 0, bodyLength: 0, expectsContinue: false,
    persistent: true, again: undefined,
  }
  const exchange = new Exchange(innerRequest('POST', '/v2/models/m/infer', []), response, received, '1', 'id', performance.now())
  return {
    exchange, got,
    text: () => Buffer.concat(got.pieces).toString(),
    pauseFirst: () => { paused = true },
    resume: () => controller?.resume(),
  }
}

function built(t: TestContext, more: Partial<BuiltRule> = {}): BuiltRule {
  const runtime = createRuntime()
  t.after(() => runtime.close())
  const rule = {
    name: 'r', matches: [{ path: { type: 'Prefix' as const, value: '/' }, headers: [], query: [] }], variants: [], overrides: [], timeouts: {},
    balance: { policy: 'RoundRobin' as const },
  }
  const route = { id: 'ml/a', tenant: 'ml', generation: 1, created: '', hostnames: [], rules: [rule] }
  runtime.activate({ version: '1', routes: new Map([[route.id, route]]), endpoints: new Map(), credentials: new Map(), secrets: new Map() })
  const [first] = [...runtime.table()?.routes() ?? []].flatMap(({ rules }) => rules)
  assert.ok(first)
  return { ...first, ...more }
}

function serve(t: TestContext, to: ReturnType<typeof caller>, maker: Maker, more: Partial<BuiltRule> = {}): Served {
  const served = new Served(to.exchange, built(t, more), maker)
  served.start()
  return served
}

test('what is made at once goes out whole, stamped like any answer', (t) => {
  const to = caller()
  serve(t, to, () => ({ ...made('hello'), trailers: ['x-sum', '1'] }))
  assert.deepEqual([to.got.status, to.text(), to.got.whole, to.got.trailers], [200, 'hello', true, ['x-sum', '1']])
  assert.deepEqual(to.got.headers.slice(0, 4), ['content-type', 'text/plain', 'x-request-id', 'id'], 'trailers need chunks')
  assert.equal(to.exchange.bytesOut, 5)
})

test('what is made later is waited for, and a large one goes out no faster than it is taken', async (t) => {
  const to = caller()
  to.pauseFirst()
  const body = Buffer.alloc(300_000, 'x')
  const { headers } = made('')
  serve(t, to, () => Promise.resolve({ ...made(body), headers: [...headers, 'content-length', '7'] }))
  await Promise.resolve()
  assert.equal(to.got.pieces.length, 1)
  assert.equal(to.got.whole, false)
  to.resume()
  assert.equal(to.got.whole, true)
  assert.ok(to.text() === body.toString())
  assert.equal(to.got.headers.filter((name) => name === 'content-length').length, 1)
  assert.equal(to.got.headers[to.got.headers.indexOf('content-length') + 1], '300000')
})

test('what cannot be made is told by its code, also where making it throws', async (t) => {
  const refused = caller()
  serve(t, refused, () => failure('overloaded', 'Too much.'))
  assert.deepEqual([refused.got.status, refused.exchange.error, refused.text()], [503, 'overloaded', '{"error":"Too much."}'])
  const thrown = caller()
  serve(t, thrown, () => Promise.reject(new Error('a bug')))
  await Promise.resolve().then(() => undefined)
  assert.deepEqual([thrown.got.status, thrown.exchange.error, thrown.exchange.cause], [502, 'upstream_protocol', 'Error: a bug'])
})

test('a client that leaves is heard of by who makes the answer, and gets nothing any more', async (t) => {
  const to = caller()
  const gate = Promise.withResolvers<Made>()
  let signal: AbortSignal | undefined
  const served = serve(t, to, (given) => {
    signal = given
    return gate.promise
  })
  served.clientClosed()
  assert.equal(signal?.aborted, true)
  gate.resolve(made('late'))
  await gate.promise
  assert.equal(to.got.status, 0)
})

test('it passes through the stages, the last pushed first, and one of them may refuse it', (t) => {
  const upper: Stage = (next) => ({
    onResponseStart: (from, status, headers) => next.onResponseStart(from, status, [...headers, 'x-stage', 'upper']),
    onResponseData: (from, chunk) => next.onResponseData(from, Buffer.from(chunk.toString().toUpperCase())),
    onResponseFlush: () => next.onResponseFlush(),
    onResponseEnd: (from, trailers) => next.onResponseEnd(from, trailers),
    onResponseError: (error) => next.onResponseError(error),
  })
  const twice: Stage = (next) => ({ ...upper(next, () => {}), onResponseData: (from, chunk) => next.onResponseData(from, Buffer.concat([chunk, chunk])) })
  const to = caller()
  to.exchange.stages = [upper, twice]
  serve(t, to, () => made('ab'))
  assert.equal(to.text(), 'ABAB')
  const never: Stage = (next, refuse) => ({ ...upper(next, refuse), onResponseStart: () => refuse(failure('response_too_large', 'No.'), 'a test') })
  const other = caller()
  other.exchange.stages = [never]
  serve(t, other, () => made('ab'))
  assert.deepEqual([other.got.status, other.exchange.error, other.exchange.cause, other.text()], [502, 'response_too_large', 'a test', '{"error":"No."}'])
})

test('where the rule is strict about its records, it waits for the record', async (t) => {
  const to = caller()
  const gate = Promise.withResolvers<undefined>()
  serve(t, to, () => made('hello'), { commit: () => gate.promise })
  assert.equal(to.got.status, 0)
  gate.resolve(undefined)
  await gate.promise
  await Promise.resolve()
  assert.deepEqual([to.got.status, to.text(), to.got.whole], [200, 'hello', true])
})

test('more than the rule lets through is not let through', (t) => {
  const to = caller()
  serve(t, to, () => made(Buffer.alloc(100)), { responseMax: 99 })
  assert.deepEqual([to.got.status, to.exchange.error], [502, 'response_too_large'])
})

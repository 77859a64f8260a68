import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { Rule } from '../../table/route.ts'
import type { BuiltRule } from '../../dataplane/pipeline/rule.ts'
import { createRuntime } from '../../dataplane/runtime.ts'
import { SeriesSet, type Series } from '../../dataplane/telemetry/series.ts'
import { callBackend, calleeOf, CallFailed, openCall, type Ask, type Called, type CallTerms } from '../../dataplane/upstream/call.ts'
import { deadPort, httpUpstream, rawUpstream } from './sockets.ts'
import '../steady.ts'
import { active, route, rule } from './table.ts'

const ask: Ask = { method: 'POST', path: '/v2/models/m/infer', headers: ['content-type', 'application/json'], body: Buffer.from('{"inputs":[]}') }
const terms: CallTerms = { outer: undefined, maxBytes: 1_000_000 }

/** The one variant of a rule, to be called from inside. */
function callee(t: TestContext, ports: readonly number[], more: Partial<Rule> = {}): { callee: BuiltRule; series: Series; requests: () => number } {
  const runtime = createRuntime()
  t.after(() => runtime.close())
  runtime.activate(active('1', [route({ rules: [rule(more)] })], { 'ml/s:80': ports }))
  const [built] = [...runtime.table()?.routes() ?? []].flatMap(({ rules }) => rules)
  const [variant] = built?.variants ?? []
  assert.ok(built && variant)
  const series = new SeriesSet().get({ route: 'ml/fraud', rule: 'infer', variant: 'step', model: '', model_version: '' })
  const requests = () => [...runtime.series.values()].reduce((sum, { outcomes }) => sum + (outcomes?.size ?? 0), 0)
  return { callee: calleeOf(built, variant, series), series, requests }
}

function answered(outcome: Awaited<ReturnType<typeof callBackend>>): Called {
  assert.ok('status' in outcome, JSON.stringify(outcome))
  return outcome
}

async function serving(t: TestContext, listener: RequestListener, more?: Partial<Rule>) {
  return callee(t, [await httpUpstream(t, listener)], more)
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

test('a call brings the whole answer, and is no request of the route', async (t) => {
  const seen: unknown[] = []
  const { callee: to, series, requests } = await serving(t, (request, response) => {
    void bodyOf(request).then((body) => {
      seen.push([request.method, request.url, request.headers['content-type'], body])
      response.writeHead(201, { 'x-kind': 'one' }).end('{"outputs":[]}')
    })
  })
  const { status, headers, body } = answered(await callBackend(to, { ...ask, query: '?a=1' }, terms))
  assert.deepEqual([status, body.toString(), headers[headers.indexOf('x-kind') + 1]], [201, '{"outputs":[]}', 'one'])
  assert.deepEqual(seen, [['POST', '/v2/models/m/infer?a=1', 'application/json', '{"inputs":[]}']])
  assert.equal(requests(), 0)
  assert.deepEqual([series.inFlight, series.outcomes?.size, series.upstream.counts.reduce((a, b) => a + b)], [0, undefined, 1])
})

test('a large answer in chunks with trailers is gathered, and one that is larger than allowed is refused', async (t) => {
  const { callee: to } = await serving(t, (_request, response) => {
    response.writeHead(200, { trailer: 'x-sum' })
    for (let i = 0; i < 16; i++) response.write(Buffer.alloc(40_000, i))
    response.addTrailers({ 'x-sum': '7' })
    response.end()
  })
  const { body, trailers } = answered(await callBackend(to, ask, terms))
  assert.deepEqual(body, Buffer.concat(Array.from({ length: 16 }, (_, i) => Buffer.alloc(40_000, i))))
  assert.deepEqual(trailers, ['x-sum', '7'])
  const refused = await callBackend(to, ask, { ...terms, maxBytes: 100_000 })
  assert.equal('code' in refused && refused.code, 'response_too_large')
})

test('a call is tried again as the rule says', async (t) => {
  let calls = 0
  const retry = { attempts: 2, reasons: [], codes: [503], budgetPercent: 100, backoff: 1, inference: true as const }
  const { callee: to, series } = await serving(t, (_request, response) => {
    calls++
    response.writeHead(calls < 3 ? 503 : 200).end('done')
  }, { retry })
  assert.equal(answered(await callBackend(to, ask, terms)).body.toString(), 'done')
  assert.deepEqual([calls, series.retries?.get('503')], [3, 2])
})

test('what keeps a call from an answer is told by its code', async (t) => {
  const codeOf = async (to: BuiltRule, more: Partial<CallTerms> = {}) => {
    const outcome = await callBackend(to, ask, { ...terms, ...more })
    return 'code' in outcome ? outcome.code : outcome.status
  }
  const unresolved = callee(t, [], { variants: [{ name: 'v', weight: 1_000_000, priority: 0, target: { kind: 'unresolved', why: 'gone' } }] })
  const cut = callee(t, [await rawUpstream(t, (socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'))
  })])
  const silent = callee(t, [await rawUpstream(t, () => {})])
  assert.equal(await codeOf(unresolved.callee), 'backend_unresolved')
  assert.equal(await codeOf(callee(t, []).callee), 'no_endpoints')
  assert.equal(await codeOf(callee(t, [await deadPort()]).callee), 'upstream_connect_failed')
  assert.equal(await codeOf(cut.callee), 'upstream_reset')
  assert.equal(await codeOf(silent.callee, { timeout: 20 }), 'timeout')
  assert.equal(await codeOf(silent.callee, { signal: AbortSignal.abort() }), 'client_closed')
  assert.deepEqual([cut.series.inFlight, silent.series.inFlight], [0, 0])
})

test('a call that nobody waits for any more is taken back', async (t) => {
  const arrived = Promise.withResolvers<undefined>()
  const left = Promise.withResolvers<undefined>()
  const { callee: to, series } = await serving(t, (request, response) => {
    arrived.resolve(undefined)
    response.once('close', () => left.resolve(undefined))
    request.resume()
  })
  const abort = new AbortController()
  const outcome = callBackend(to, ask, { ...terms, signal: abort.signal })
  await arrived.promise
  abort.abort()
  const failed = await outcome
  assert.equal('code' in failed && failed.code, 'client_closed')
  await left.promise
  assert.equal(series.inFlight, 0)
})

test('an answer that is given on piece by piece goes no faster than it is taken', async (t) => {
  let sent = 0
  const stalled = Promise.withResolvers<undefined>()
  const { callee: to } = await serving(t, (_request, response) => {
    void (async () => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' })
      for (let i = 0; i < 640; i++) {
        sent += 65_536
        if (response.write(Buffer.alloc(65_536))) continue
        const drained = once(response, 'drain').then(() => true)
        const slow = new Promise<false>((resolve) => { setTimeout(() => resolve(false), 100) })
        if (!await Promise.race([drained, slow])) stalled.resolve(undefined)
        await drained
      }
      response.end()
    })()
  })
  let got = 0
  const over = Promise.withResolvers<Error | undefined>()
  const begun = Promise.withResolvers<() => void>()
  openCall(to, ask, { ...terms, maxBytes: Number.POSITIVE_INFINITY }, {
    onResponseStart(controller) {
      controller.pause()
      begun.resolve(() => controller.resume())
    },
    onResponseData: (_controller, chunk) => { got += chunk.length },
    onResponseFlush: () => true,
    onResponseEnd: () => over.resolve(undefined),
    onResponseError: (error) => over.resolve(error),
  })
  const resume = await begun.promise
  await stalled.promise
  assert.ok(got < sent && sent < 640 * 65_536, `${got} of ${sent} bytes`)
  resume()
  assert.equal(await over.promise, undefined)
  assert.equal(got, 640 * 65_536)
})

test('an answer that breaks off in the middle of events is an error, and no event is made up', async (t) => {
  const { callee: to } = await serving(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: one\n\n', () => response.destroy())
  })
  let text = ''
  const error = await new Promise<Error | undefined>((resolve) => {
    openCall(to, ask, terms, {
      onResponseStart() {},
      onResponseData: (_controller, chunk) => { text += chunk.toString() },
      onResponseFlush: () => true,
      onResponseEnd: () => resolve(undefined),
      onResponseError: resolve,
    })
  })
  assert.ok(error instanceof CallFailed && error.why.code === 'upstream_reset')
  assert.equal(text, 'data: one\n\n')
})

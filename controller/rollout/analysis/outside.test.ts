import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { createOutgoing, ownPorts } from '../../../outgoing/call.ts'
import { compileAnalysis, type Gate } from '../../compile/analysis.ts'
import type { AnalysisSpec } from '../../compile/spec.ts'
import type { Problem } from '../../sources/snapshot.ts'
import type { WatchedStep } from '../judge.ts'
import { createAskOutside } from './outside.ts'
import '../../../test/steady.ts'

const options = { allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true }

function gateOf(metric: NonNullable<AnalysisSpec['metrics']>[number]): Gate {
  const problems: Problem[] = []
  const [gate = assert.fail('no gate')] = compileAnalysis({ metrics: [metric] }, 'spec', options, problems).gates
  assert.deepEqual(problems, [])
  return gate
}

const step: WatchedStep = {
  route: 'ml/fraud', rule: 'infer', id: 's1', candidate: 'canary', share: 250_000, step: 2, steps: 3, startedAt: Date.UTC(2026, 0, 2), hold: 60_000,
  analysis: { interval: 10_000, minRequests: 200, failureLimit: 2, onNoData: 'Hold', gates: [] },
}

async function server(t: TestContext, answer: (request: IncomingMessage, body: string) => string | number) {
  const listening = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => { body += text }).on('end', () => {
      const given = answer(request, body)
      response.writeHead(typeof given === 'number' ? given : 200, { location: '/elsewhere' }).end(typeof given === 'number' ? '' : given)
    })
  }).listen(0, '127.0.0.1')
  t.after(() => { listening.close(); listening.closeAllConnections() })
  await once(listening, 'listening')
  return (listening.address() as AddressInfo).port
}

const ask = createAskOutside(createOutgoing())
const instant = (resultType: string, result: unknown) => JSON.stringify({ status: 'success', data: { resultType, result } })

test('a Prometheus query is asked about the candidate, and of stable too where a bound is relative', async (t) => {
  const queries: string[] = []
  const port = await server(t, (request) => {
    const url = new URL(request.url ?? '', 'http://a')
    assert.equal(url.pathname, '/prom/api/v1/query')
    queries.push(url.searchParams.get('query') ?? '')
    return instant('vector', [{ metric: {}, value: [1, queries.at(-1)?.includes('canary') ? '0.9' : '1'] }])
  })
  const query = 'sum(rate(revenue{variant="$variant",route="ml/fraud"}[1m])) + 0'
  const gate = gateOf({ name: 'revenue', type: 'Prometheus', prometheus: { address: `http://127.0.0.1:${port}/prom/`, query }, minRatioToStable: '0.95' })
  const judged = await ask(gate, step, 'stable')
  assert.deepEqual([judged.verdict, judged.candidate?.value, judged.stable?.value, judged.bound], ['fail', 0.9, 1, 'at least 0.95 × stable'])
  assert.deepEqual(queries.sort(), ['canary', 'stable'].map((name) => query.replace('$variant', name)))
  assert.match((await ask(gate, step, undefined)).why ?? '', /no other variant/)
})

test('of Prometheus a number counts; NaN, nothing and what is no number do not', async (t) => {
  const answers: [string | number, string | number][] = [
    [instant('scalar', [1, '0.3']), 0.3],
    [instant('vector', [{ metric: {}, value: [1, '0'] }]), 0],
    [instant('scalar', [1, 'NaN']), 'no data'],
    [instant('vector', [{ metric: {}, value: [1, '+Inf'] }]), 'no data'],
    [instant('vector', []), 'no data'],
    [instant('vector', [{}, {}]), 'the query gives 2 series; aggregate them, such as with sum()'],
    [instant('matrix', []), 'the query gives a matrix, not a number'],
    ['{"status":"error","error":"secret"}', 'the answer is not one of the API of Prometheus'],
    ['<html>', 'the answer is not JSON'],
    ['null', 'the answer is not one of the API of Prometheus'],
    ['[]', 'the answer is not one of the API of Prometheus'],
    [503, 'answered 503'],
    [302, 'the answer is a redirect, which is not followed'],
    ['x'.repeat(100_000), 'the answer is too large'],
  ]
  let next: string | number = ''
  const port = await server(t, () => next)
  const gate = gateOf({ name: 'q', type: 'Prometheus', prometheus: { address: `http://127.0.0.1:${port}`, query: 'up' }, max: '0.5' })
  for (const [answer, expected] of answers) {
    next = answer
    const { verdict, candidate, why } = await ask(gate, step, 'stable')
    assert.deepEqual([verdict, candidate?.value ?? why], [typeof expected === 'number' ? 'pass' : 'no-data', expected])
  }
})

test('a webhook is told what it is asked about, and answers a number', async (t) => {
  const asked: unknown[] = []
  const answers = ['0.2', '{"value": 0.7}', '{"value": null}', 'null', '{"value": "0.2"}', '{}', 204]
  const port = await server(t, (request, body) => {
    assert.deepEqual([request.method, request.headers['content-type']], ['POST', 'application/json'])
    asked.push(JSON.parse(body))
    return answers[asked.length - 1] ?? ''
  })
  const gate = gateOf({ name: 'quality', type: 'Webhook', webhook: { url: `http://127.0.0.1:${port}/gate?x=1` }, max: '0.5' })
  const verdicts: unknown[] = []
  for (const _ of answers) verdicts.push((({ verdict, why }) => why ?? verdict)(await ask(gate, step, 'stable')))
  assert.deepEqual(verdicts, [
    'pass', 'fail', 'no data', 'no data', 'the answer is no number, and has none as value', 'the answer is no number, and has none as value', 'no data',
  ])
  assert.deepEqual(asked[0], {
    route: 'ml/fraud', rule: 'infer', variant: 'canary', candidate: 'canary', gate: 'quality', step: 2, steps: 3, stepStartedAt: '2026-01-02T00:00:00.000Z',
  })
})

test('what is asked leads to no address that a URL may not lead to, and not to the controller itself', async (t) => {
  let called = 0
  const port = await server(t, () => { called++; return '1' })
  const closed = createAskOutside(createOutgoing({ closed: ownPorts(() => [port]) }))
  const webhook = gateOf({ name: 'w', type: 'Webhook', webhook: { url: `http://127.0.0.1:${port}/` }, max: '5' })
  assert.deepEqual((({ verdict, why }) => [verdict, why])(await closed(webhook, step, undefined)), ['no-data', 'the address is not one that may be called'])
  const metadata: Gate = { ...webhook, measure: { type: 'Webhook', to: { url: 'http://169.254.169.254/latest', loopback: true, private: true } } }
  assert.equal((await ask(metadata, step, undefined)).why, 'the address is not one that may be called')
  assert.equal(called, 0)
})

test('hosts that the operator does not admit are refused when the manifest is read', () => {
  const problems: Problem[] = []
  const metrics: AnalysisSpec['metrics'] = [
    { name: 'a', type: 'Webhook', webhook: { url: 'http://evil.example.com/' }, max: '1' },
    { name: 'b', type: 'Prometheus', prometheus: { address: 'http://user:pw@prometheus:9090', query: 'up' }, max: '1' },
    { name: 'c', type: 'Prometheus', prometheus: { address: 'http://127.0.0.1:9090', query: 'up' }, maxRatioToStable: '1' },
    { name: 'd', type: 'MirrorMismatch', maxRatioToStable: '1' },
    { name: 'error-rate', max: '5' },
    { name: 'revenue', max: '1' },
    { name: 'p99-latency' },
  ]
  compileAnalysis({ interval: '500ms', metrics }, 'a', options, problems)
  assert.deepEqual(problems.map(({ field, reason }) => `${field} ${reason}`), [
    'a.interval Invalid', 'a.metrics[0].webhook.url UnsupportedValue', 'a.metrics[1].prometheus.address Invalid', 'a.metrics[2].prometheus.query Invalid',
    'a.metrics[3] Invalid', 'a.metrics[4] Invalid', 'a.metrics[5] Invalid', 'a.metrics[6] Invalid',
  ])
  assert.ok(!JSON.stringify(problems).includes('pw'))
})

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { connect, createServer } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { HTTP, type CloudEvent } from 'cloudevents'
import type { Predictions as Spec } from '../../table/predictions.ts'
import type { Rule } from '../../table/route.ts'
import { summaries, type VersionSummary } from '../../dataplane/predictions/drift/summary.ts'
import type { PredictionEvent } from '../../dataplane/predictions/event.ts'
import { Predictions } from '../../dataplane/predictions/predictions.ts'
import type { PredictionSink } from '../../dataplane/predictions/sink.ts'
import { sendEvents } from '../../dataplane/predictions/sinks.ts'
import { framed } from '../../dataplane/protocols/grpc_frames.ts'
import { writeMessage } from '../../dataplane/tensors/grpc_message.ts'
import { noParameters } from '../../dataplane/tensors/tensor.ts'
import { blockOf, servedExample } from '../example.ts'
import { policy as caching } from './caching.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

const spec = (more: Partial<Spec> = {}): Spec => ({ percent: 100, bodies: 'Full', redact: [], ...more })
const redacted = (...redact: string[]) => spec({ bodies: 'Redacted', redact })

type Answer = Readonly<{ status?: number; headers?: Record<string, string>; body: string | Buffer }>
type Asked = Readonly<{ url: string; body: Buffer }>
const predicting = (): Answer => ({ body: '{"predictions":[0.5]}' })

type Setting = Readonly<{ predictions?: Spec; rule?: Partial<Rule>; answer?: (asked: Asked) => Answer; to?: string | undefined; with?: Predictions }>

/** A proxy that logs into a file, or where it is told to. */
async function logged(t: TestContext, { predictions = spec(), rule: more = {}, answer = predicting, to, with: own }: Setting = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'predictions-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'predictions.jsonl')
  const asked: Asked[] = []
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const one = { url: request.url ?? '', body: Buffer.concat(chunks) }
      asked.push(one)
      const { status = 200, headers = { 'content-type': 'application/json' }, body } = answer(one)
      response.writeHead(status, headers).end(body)
    })
  })
  const table = active('1', [route({ rules: [rule({ predictions, ...more })] })], { 'ml/s:80': [port], 'ml/t:80': [port], 'ml/gone:80': [] })
  const proxy = await testProxy(t, table, own === undefined ? { predictions: to ?? file } : { filterDeps: { predictions: own } })
  const ask = async (body: string | Buffer<ArrayBuffer> = '{"instances":[1]}', headers: Record<string, string> = {}, path = '/v1/models/m:predict') => {
    const got = await fetch(new URL(path, proxy.url), { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })
    return { status: got.status, text: await got.text(), headers: got.headers }
  }
  const text = () => (existsSync(file) ? readFileSync(file, 'utf8') : '')
  const events = () => text().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
  const some = async (count: number) => {
    await eventually(() => events().length >= count)
    return events()
  }
  const metric = async (name: string) => (await (await fetch(`${proxy.urls.admin}/metrics`)).text()).split('\n').filter((line) => line.startsWith(name))
  const drift = async () => ((await (await fetch(`${proxy.urls.admin}/predictions`)).json()) as { items: VersionSummary[] }).items
  return { proxy, ask, asked, text, events, some, metric, drift }
}

type Posted = Readonly<{ headers: IncomingHttpHeaders; body: string }>

/** What a payload logger of KServe sends to. */
async function collector(t: TestContext, status: (count: number) => number = () => 200) {
  const posted: Posted[] = []
  const port = await httpUpstream(t, (request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() }).on('end', () => {
      posted.push({ headers: request.headers, body })
      response.writeHead(status(posted.length)).end()
    })
  })
  return { posted, url: `http://127.0.0.1:${port}/log` }
}

const kinds = ['org.kubeflow.serving.inference.request', 'org.kubeflow.serving.inference.response']

test('a server of events is sent what the logger of KServe sends, and a reader of CloudEvents finds it valid', { timeout: 120_000 }, async (t) => {
  const { posted, url } = await collector(t)
  const services = [{ variant: 'stable', name: 'mymodel', namespace: 'default', component: 'predictor' }]
  const answer = '{"instances":[[4,5,6]]}'
  const { ask } = await logged(t, { to: url, predictions: spec({ services }), answer: () => ({ body: answer, headers: { 'content-type': 'application/json' } }) })
  await ask('{"instances":[[0,0,0]]}', { 'ce-id': 'caller-1' })
  await eventually(() => posted.length === 2)
  // The headers of binary mode that pkg/logger/worker.go of KServe sets, and those that net/http adds.
  const theirs = ['ce-specversion', 'ce-id', 'ce-type', 'ce-source', 'ce-time', 'ce-recordedtime', 'ce-inferenceservicename', 'ce-namespace', 'ce-component', 'ce-endpoint', 'ce-metadata', 'content-type', 'content-length']
  const byType = posted.toSorted((a, b) => String(a.headers['ce-type']).localeCompare(String(b.headers['ce-type'])))
  assert.deepEqual(byType.map(({ headers, body }) => [headers['ce-type'], body]), [[kinds[0], '{"instances":[[0,0,0]]}'], [kinds[1], answer]])
  for (const { headers, body } of posted) {
    assert.deepEqual(theirs.filter((name) => headers[name] === undefined), [])
    const event = HTTP.toEvent({ headers, body }) as CloudEvent
    assert.equal(event.validate(), true)
    assert.deepEqual(
      [event.id, event['inferenceservicename'], event['namespace'], event['component'], event['endpoint'], event['metadata'], event.datacontenttype],
      ['caller-1', 'mymodel', 'default', 'predictor', 'stable', '{}', 'application/json'],
    )
    assert.deepEqual(event.data, JSON.parse(body))
    assert.ok(Date.parse(String(event['recordedtime'])) >= Date.parse(event.time ?? ''))
  }
})

test('a file has a line for each event, which says who was asked and where the request is found again', { timeout: 120_000 }, async (t) => {
  const variants = [variant('canary', 'ml/s:80', { model: { name: 'fraud', version: '2' } })]
  const { ask, some } = await logged(t, { rule: { variants }, answer: () => ({ body: '{\n "predictions": ["ü", 1.10]\r\n}' }) })
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  await ask('{"instances":[1]}', { 'x-request-id': 'r-1', traceparent }, '/v2/models/fraud/infer')
  const [request, response] = await some(2)
  const { time, recordedtime, source, ...rest } = response ?? {}
  assert.ok(typeof time === 'string' && typeof recordedtime === 'string' && source === 'urn:modelroute:ml/fraud:infer')
  assert.deepEqual(rest, {
    specversion: '1.0', id: 'r-1', type: kinds[1], inferenceservicename: 'fraud', namespace: 'ml', component: 'predictor', endpoint: 'canary', metadata: '{}',
    route: 'ml/fraud', rule: 'infer', variant: 'canary', model: 'fraud', modelversion: '2', requestid: 'r-1', traceparent, status: 200, databytes: 33,
    datacontenttype: 'application/json', data: { predictions: ['ü', 1.1] },
  })
  assert.deepEqual([request?.['id'], request?.['type'], request?.['data']], ['r-1', kinds[0], { instances: [1] }])
  for (const line of [request, response]) {
    const event = HTTP.toEvent({ headers: { 'content-type': 'application/cloudevents+json' }, body: JSON.stringify(line) }) as CloudEvent
    assert.equal(event.validate(), true)
  }
})

test('what is to be blotted out is nowhere, whatever is sent', { timeout: 120_000 }, async (t) => {
  const secret = 'canary-4711'
  const { ask, some, text, metric, drift } = await logged(t, {
    predictions: redacted('/instances/*/ssn', '/echo', '/predictions/*/ssn'),
    answer: ({ body }) => ({ body: body.includes('"plain"') ? `{"echo":"${secret}","predictions":[{"ssn":{"deep":["${secret}"]},"score":1}]}` : `not json ${secret}` }),
  })
  const bodies: (readonly [string | Buffer<ArrayBuffer>, Record<string, string>?])[] = [
    [`{"plain":1,"instances":[{"ssn":"${secret}","age":3},{"\\u0073sn":["${secret}"],"age":4}]}`],
    [`{"instances":[{"ssn":"${secret}","ssn":"${secret}"}]}`],
    [gzipSync(`{"instances":[{"ssn":"${secret}"}]}`), { 'content-encoding': 'gzip' }],
    [`{"instances":[{"ssn":"${secret}"}]} "${secret}"`], [`{"instances":[{"ssn":'${secret}'}]}`], [secret], [`\u{feff}{"instances":[{"ssn":"${secret}"}]}`],
    [`{"instances":[{"ssn":"${secret}"}], "a":"${'x'.repeat(300_000)}"}`],
    [gzipSync(`{"instances":[{"ssn":"${secret}"}]}`), { 'content-encoding': 'gzip, gzip' }],
    [`{"instances":[{"ssn":"${secret}"}],"x":NaN}`], [`ssn=${secret}`, { 'content-type': 'application/x-www-form-urlencoded' }],
  ]
  for (const [body, headers] of bodies) await ask(body, { authorization: `Bearer ${secret}`, cookie: secret, 'x-api-key': secret, ...headers })
  const events = await some(2 * bodies.length)
  assert.ok(!text().includes(secret) && !text().includes(Buffer.from(secret).toString('base64').slice(0, -2)))
  assert.ok(!JSON.stringify(await drift()).includes(secret))
  const [first, answer, twice, , packed] = events
  assert.deepEqual(first?.['data'], { plain: 1, instances: [{ ssn: null, age: 3 }, { ssn: null, age: 4 }] })
  assert.deepEqual(answer?.['data'], { echo: null, predictions: [{ ssn: null, score: 1 }] })
  assert.deepEqual([twice?.['data'], packed?.['data']], [{ instances: [{ ssn: null }] }, { instances: [{ ssn: null }] }])
  const why = events.filter(({ type }) => type === kinds[0]).map(({ withheld }) => withheld)
  assert.deepEqual(why, [undefined, undefined, undefined, 'not_json', 'not_json', 'not_json', 'not_json', 'too_large', 'encoding', 'not_json', 'not_json'])
  assert.deepEqual((await metric('modelroute_prediction_bodies_withheld_total{')).map((line) => line.replace(/.*why="(\w+)"} /, '$1 ')).sort(), ['encoding 1', 'not_json 16', 'too_large 1'])
})

test('without bodies nothing of them is written, and of large ones it is said how large they were', { timeout: 120_000 }, async (t) => {
  const none = await logged(t, { predictions: spec({ bodies: 'None' }) })
  await none.ask('{"instances":["canary"]}')
  assert.deepEqual((await none.some(2)).map(({ data, data_base64: base64, databytes, datacontenttype: type }) => [data, base64, databytes, type]), [[undefined, undefined, 24, undefined], [undefined, undefined, 21, undefined]])
  assert.ok(!JSON.stringify(await none.drift()).includes('canary'))
  const full = await logged(t, { answer: () => ({ body: Buffer.alloc(1_000_000, 'y') }) })
  await full.ask(`{"a":"${'x'.repeat(500_000)}"}`)
  const [request, response] = await full.some(2)
  for (const [event, size] of [[request, 500_008], [response, 1_000_000]] as const) {
    assert.deepEqual([event?.['truncated'], event?.['databytes'], Buffer.from(String(event?.['data_base64']), 'base64').length], [true, size, 262_144])
  }
})

test('streams, binary tensors and what is no JSON are written as they were', { timeout: 120_000 }, async (t) => {
  const answers: Answer[] = [
    { body: 'data: {"a":1}\n\ndata: [DONE]\n\n', headers: { 'content-type': 'text/event-stream' } },
    { body: Buffer.from([0, 255, 10, 13]), headers: { 'content-type': 'application/octet-stream' } },
    { body: 'no json', headers: { 'content-type': 'application/json' } },
  ]
  const { ask, some, events } = await logged(t, { answer: () => answers.shift() ?? predicting() })
  for (let i = 1; i <= 3; i++) {
    await ask()
    await some(2 * i)
  }
  const told = events().filter(({ type }) => type === kinds[1]).map(({ data, data_base64: base64 }) => [data, base64])
  assert.deepEqual(told, [['data: {"a":1}\n\ndata: [DONE]\n\n', undefined], [undefined, 'AP8KDQ=='], [undefined, Buffer.from('no json').toString('base64')]])
})

test('an error is no prediction: the request is logged, and no answer', { timeout: 120_000 }, async (t) => {
  const { ask, some, metric } = await logged(t, { answer: () => ({ status: 503, body: '{"error":"busy"}' }), rule: { fallbackResponse: { status: 200, contentType: 'application/json', body: '{}' } } })
  await ask()
  const gone = await logged(t, { rule: { variants: [variant('stable', 'ml/gone:80')], fallbackResponse: { status: 200, contentType: 'application/json', body: '{}' } } })
  assert.equal((await gone.ask()).headers.get('x-modelroute-fallback'), 'static')
  for (const events of [await some(1), await gone.some(1)]) assert.deepEqual(events.map(({ type }) => type), [kinds[0]])
  assert.deepEqual(await metric('modelroute_predictions_total{'), ['modelroute_predictions_total{route="ml/fraud",rule="infer",result="logged"} 1'])
})

test('what is tried again, mirrored or given again is logged once, for what its caller got', { timeout: 120_000 }, async (t) => {
  let tries = 0
  const variants = [variant('stable', 'ml/s:80'), variant('shadow', 'ml/t:80', { weight: 0 })]
  const { ask, some, asked } = await logged(t, {
    answer: () => (++tries === 1 ? { status: 503, body: '{}' } : predicting()),
    rule: {
      variants, mirror: { variant: 'shadow', percent: 100 }, cache: caching({ scope: 'Tenant' }),
      retry: { attempts: 1, reasons: [], codes: [503], inference: true, budgetPercent: 100, backoff: 1 },
    },
  })
  const first = await ask('{"instances":[7]}')
  const second = await ask('{"instances":[7]}')
  assert.deepEqual([first.status, second.headers.get('x-modelroute-cache')], [200, 'hit'])
  const events = await some(4)
  await eventually(() => asked.length === 3)
  assert.deepEqual(events.map(({ type, cache, variant: by }) => [type, cache, by]), [[kinds[0], undefined, 'stable'], [kinds[1], 'miss', 'stable'], [kinds[0], undefined, 'stable'], [kinds[1], 'hit', 'stable']])
  assert.deepEqual(events.map(({ data }) => data), [{ instances: [7] }, { predictions: [0.5] }, { instances: [7] }, { predictions: [0.5] }])
})

test('of joined predictions each is logged with its own rows', { timeout: 120_000 }, async (t) => {
  const { ask, some } = await logged(t, {
    rule: { batching: { maxSize: 2, maxDelay: 20_000, scope: 'Principal' } },
    answer: ({ body }) => ({ body: JSON.stringify({ predictions: (JSON.parse(body.toString()) as { instances: number[] }).instances.map((x) => 2 * x) }) }),
  })
  await Promise.all([ask('{"instances":[1]}', { 'x-request-id': 'one' }), ask('{"instances":[2]}', { 'x-request-id': 'two' })])
  const events = await some(4)
  const of = (id: string) => events.filter(({ requestid }) => requestid === id).map(({ data }) => data)
  assert.deepEqual([of('one'), of('two')], [[{ instances: [1] }, { predictions: [2] }], [{ instances: [2] }, { predictions: [4] }]])
})

test('a server of events that hangs costs no request anything: what does not fit is dropped and counted', { timeout: 120_000 }, async (t) => {
  const url = `http://127.0.0.1:${await httpUpstream(t, () => {})}/log`
  const predictions = new Predictions({ sink: sendEvents({ url, waitingMax: 20_000, closing: 10 }) })
  const { ask, metric, proxy } = await logged(t, { with: predictions })
  const large = `{"a":"${'x'.repeat(4000)}"}`
  for (let i = 0; i < 10; i++) assert.equal((await ask(large)).status, 200)
  await eventually(() => proxy.lines().length === 10)
  const told = () => metric('modelroute_predictions_total{')
  for (let i = 0; (await told()).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0) < 10; i++) assert.ok(i < 1000)
  assert.match((await told()).join(), /result="dropped"\} [1-9]/)
  assert.deepEqual(await metric('modelroute_prediction_log_bytes'), ['modelroute_prediction_log_bytes 0'])
})

test('what all bodies together may hold is bounded: one that finds no room is dropped and counted', { timeout: 120_000 }, async (t) => {
  const { ask, metric, events, proxy } = await logged(t, { with: new Predictions({ limits: { held: 100 } }) })
  await ask(`{"a":"${'x'.repeat(100)}"}`)
  await eventually(() => proxy.lines().length === 1)
  assert.deepEqual([await metric('modelroute_predictions_total{'), events()], [['modelroute_predictions_total{route="ml/fraud",rule="infer",result="dropped"} 1'], []])
})

test('an event that is refused once is sent again, and what is refused for good is counted', { timeout: 120_000 }, async (t) => {
  const { posted, url } = await collector(t, (count) => (count === 1 ? 503 : count > 3 ? 400 : 200))
  const { ask, metric, proxy } = await logged(t, { to: url })
  await ask()
  await eventually(() => posted.length === 3)
  await ask()
  await eventually(() => posted.length === 5)
  const told = () => metric('modelroute_prediction_events_total{')
  for (let i = 0; !(await told()).join().includes('"failed"} 2'); i++) assert.ok(i < 1000)
  assert.deepEqual(await told(), ['modelroute_prediction_events_total{result="delivered"} 2', 'modelroute_prediction_events_total{result="failed"} 2'])
  assert.ok(proxy.text().includes('predictions: cannot be delivered'))
})

test('what is held goes out before the process ends', { timeout: 120_000 }, async (t) => {
  const { ask, proxy, events } = await logged(t)
  await ask()
  await eventually(() => proxy.lines().length === 1)
  await proxy.close()
  assert.equal(events().length, 2)
})

test('the admin port tells what was asked and answered by version, and a proxy without a log only that', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (request, response) => { request.resume().on('end', () => response.end('{"predictions":[0.25,0.75]}')) })
  const variants = [variant('stable', 'ml/s:80', { model: { version: '3' } })]
  const table = active('1', [route({ rules: [rule({ variants, predictions: spec() })] })], { 'ml/s:80': [port] })
  const proxy = await testProxy(t, table, { filterDeps: { predictions: new Predictions() } })
  for (const age of [30, 40]) {
    const sent = fetch(`${proxy.url}/v2/models/m/infer`, { method: 'POST', body: JSON.stringify({ instances: [{ age, plan: 'gold' }, { age: age + 1 }] }) })
    await (await sent).text()
  }
  let items: VersionSummary[] = []
  while (items[0]?.requests !== 2) ({ items } = (await (await fetch(`${proxy.urls.admin}/predictions`)).json()) as { items: VersionSummary[] })
  const [{ route: id, rule: name, variant: by, version, against, inputs, outputs }] = items as [VersionSummary]
  assert.deepEqual([id, name, by, version, against], ['ml/fraud', 'infer', 'stable', '3', undefined])
  const [age, plan] = inputs
  assert.deepEqual([age?.name, age?.count, age?.missing, age?.mean, age?.min, age?.max], ['age', 4, 0, 35.5, 30, 41])
  assert.ok(Math.abs((age?.variance ?? 0) - 101 / 3) < 1e-9)
  assert.deepEqual([plan?.name, plan?.count, plan?.missing, plan?.top], ['plan', 2, 2, [{ value: 'gold', share: 1 }]])
  assert.deepEqual(outputs.map(({ name: column, mean }) => [column, mean]), [['value', 0.5]])
  const text = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  assert.match(text, /modelroute_predictions_total\{route="ml\/fraud",rule="infer",result="unlogged"\} 2/)
})

test('a file that cannot be opened is told at the start', { timeout: 120_000 }, async (t) => {
  await assert.rejects(testProxy(t, undefined, { predictions: '/nowhere/at/all' }), /ENOENT/)
})

test('docs/predictions.md shows what its example writes', { timeout: 120_000 }, async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/predictions.md'), 'utf8')
  const example = readFileSync(join(import.meta.dirname, '../../examples/predictions/route.yaml'), 'utf8')
  assert.equal(blockOf(page, 'yaml'), example.replace(/^#.*\n/gm, ''))
  const folder = mkdtempSync(join(tmpdir(), 'predictions-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'log')
  const { proxy } = await servedExample(t, example.replace('samplePercent: 10', 'samplePercent: 100'), () => '{"predictions":[0.1]}', 'fraud', { predictions: file })
  const body = /`(\{"instances":.*?)` is two lines/.exec(page)?.[1] ?? ''
  const answer = await fetch(`${proxy.url}/v1/models/fraud:predict`, { method: 'POST', body, headers: { 'content-type': 'application/json', 'x-request-id': 'r-1' } })
  assert.equal(await answer.text(), '{"predictions":[0.1]}')
  await eventually(() => existsSync(file) && readFileSync(file, 'utf8').split('\n').length === 3)
  const [line = ''] = readFileSync(file, 'utf8').split('\n')
  const timeless = (text: string) => text.replaceAll(/"(time|recordedtime)":"[^"]*"/g, '"$1":""').replaceAll(/\n ?/g, '')
  assert.equal(timeless(line), timeless(blockOf(page, 'json')))
})

/** Answers each call of gRPC with this message and status. */
async function grpcServer(t: TestContext, answer: Buffer, status: string): Promise<number> {
  const server = createServer()
  server.on('session', (session) => t.after(() => session.destroy())).on('stream', (stream) => {
    stream.resume().on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }))
      stream.end(answer)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  return typeof address === 'object' ? address?.port ?? 0 : 0
}

test('a call of gRPC is logged in base64 and read for its statistics, one that fails without an answer, and one that asks how a server is not at all', { timeout: 120_000 }, async (t) => {
  const tensor = { name: 'x', datatype: 'FP32', shape: [1], parameters: noParameters, data: Buffer.from(new Float32Array([3]).buffer) }
  const message = (side: 'inputs' | 'outputs') => framed(...writeMessage(side, { model: 'm', version: '', id: '', parameters: noParameters, tensors: [tensor], outputs: [] }).pieces)
  for (const status of ['0', '13']) {
    const events: PredictionEvent[] = []
    const sink: PredictionSink = { put: (event) => events.push(event) > 0, outcomes: () => ({ delivered: 0, failed: 0 }), close: () => Promise.resolve() }
    const predictions = new Predictions({ sink })
    const sets = { 'ml/s:80': [await grpcServer(t, message('outputs'), status)] }
    const proxy = await testProxy(t, active('1', [route({ rules: [rule({ predictions: spec() })] })], sets), { filterDeps: { predictions } })
    const session = connect(proxy.url)
    t.after(() => session.destroy())
    for (const method of ['ServerReady', 'ModelInfer']) {
      const stream = session.request({ ':method': 'POST', ':path': `/inference.GRPCInferenceService/${method}`, 'content-type': 'application/grpc', 'te': 'trailers' })
      stream.end(message('inputs')).resume()
      await once(stream, 'close')
    }
    await eventually(() => proxy.lines().length === 2 && events.length >= (status === '0' ? 2 : 1))
    assert.deepEqual(events.map(({ attributes: { type }, data }) => [type, data?.toString('base64')]), [
      [kinds[0], message('inputs').toString('base64')], ...(status === '0' ? [[kinds[1], message('outputs').toString('base64')]] : []),
    ])
    const [version] = summaries([predictions.drift.report()])
    assert.deepEqual([version?.inputs, version?.outputs].map((side) => side?.map(({ name, mean }) => [name, mean])), status === '0' ? [[['x', 3]], [['x', 3]]] : [undefined, undefined])
  }
})

test('of a composition the request and what was made of it are logged, and no step', { timeout: 120_000 }, async (t) => {
  const step = { name: 'one', variant: variant('one', 'ml/s:80'), dependsOn: [], maxParallel: 8, onError: 'Fail' as const }
  const { ask, some, asked, metric } = await logged(t, { rule: { variants: [], compose: { steps: [step, { ...step, name: 'two', dependsOn: ['one'] }], output: '{"predictions": [size(steps.two.body.predictions)]}' } } })
  assert.equal((await ask()).text, '{"predictions":[1]}')
  const events = await some(2)
  assert.deepEqual([asked.length, events.map(({ type, data }) => [type, data])], [2, [[kinds[0], { instances: [1] }], [kinds[1], { predictions: [1] }]]])
  assert.deepEqual(await metric('modelroute_predictions_total{'), ['modelroute_predictions_total{route="ml/fraud",rule="infer",result="logged"} 1'])
})

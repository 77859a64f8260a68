import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { CONTROLLER_REVISIONS, ENDPOINT_SLICES, MODEL_ROUTES, RATE_LIMIT_POLICIES, SERVICES } from '../../controller/kubernetes/kinds.ts'
import { dashboards } from '../../dashboards/all.ts'
import { startModelServer } from '../../examples/quickstart/server.ts'
import { adopt, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { deadPort, httpUpstream } from '../dataplane/sockets.ts'
import { FakeServer } from '../fakes/api-server.ts'
import { freePorts } from '../free-ports.ts'
import { alertCases, ruleTests } from './observed/alerts.ts'
import { everything } from './observed/manifests.ts'
import { promtool, startPrometheus } from './prometheus.ts'
import { startServe } from './serve.ts'

/** Dashboards and alerts against a real Prometheus that scrapes the quickstart, what it has not, and a controller over a cluster. */

const root = join(import.meta.dirname, '../..')
const ruleFile = join(root, 'charts/modelroute/rules/modelroute.rules.yaml')
type Rules = Readonly<{ groups: readonly Readonly<{ rules: readonly Readonly<{ alert: string; expr: string }>[] }>[] }>

/** As the chart renders them, with the values of its fullest case. */
function renderedRules(): Rules {
  const golden = readFileSync(join(root, 'test/chart/full.golden.yaml'), 'utf8')
  const rendered = parseAllDocuments(golden).map((document) => document.toJS() as { kind?: string; spec: Rules } | null).find((object) => object?.kind === 'PrometheusRule')
  assert.ok(rendered)
  return rendered.spec
}

test('promtool takes the rules, as a file and as the chart renders them; each alert fires when it should and not else', { timeout: 60_000 }, async () => {
  const folder = temporaryFolder('rules')
  const rendered = join(folder, 'rendered.yaml')
  writeFileSync(rendered, stringify(renderedRules()))
  const checked = await promtool(['check', 'rules', ruleFile, rendered])
  assert.match(checked, new RegExp(`SUCCESS: ${alertCases.length} rules found[^]*SUCCESS: ${alertCases.length} rules found`))
  assert.deepEqual(renderedRules().groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)), alertCases.map(({ alert }) => alert))
  const tests = join(folder, 'tests.yaml')
  writeFileSync(tests, JSON.stringify(ruleTests(ruleFile)))
  assert.match(await promtool(['test', 'rules', tests]), /SUCCESS/)
})

/** Answers whatever it is asked: V2, chats, vectors. */
async function model(t: TestContext): Promise<number> {
  return httpUpstream(t, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece)).on('end', () => {
      const body = JSON.parse(Buffer.concat(pieces).toString() || '{}') as { inputs?: { shape: number[]; data: number[] }[]; input?: string | string[] }
      const [input] = body.inputs ?? []
      const answer = request.url === '/v1/embeddings'
        ? { object: 'list', data: [body.input ?? ''].flat().map((_, index) => ({ index, embedding: [1, 0, 0.1] })) }
        : request.url === '/v1/chat/completions'
          ? { object: 'chat.completion', choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'yes '.repeat(1000) } }], usage: { prompt_tokens: 12, completion_tokens: 34, total_tokens: 46 } }
          : { model_name: 'fraud', outputs: [{ name: 'score', datatype: 'FP32', shape: input?.shape ?? [1], data: input?.data ?? [0] }] }
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(answer))
    })
  })
}

/** Fails, or is slow, again and again. */
async function flaky(t: TestContext): Promise<number> {
  let asked = 0
  return httpUpstream(t, (request, response) => {
    request.resume().on('end', () => {
      const turn = request.url === '/health' ? 0 : asked++ % 4
      response.statusCode = turn === 1 ? 503 : 200
      response.setHeader('content-type', 'application/json')
      setTimeout(() => response.end('{"outputs":[]}'), turn === 2 ? 60 : 0)
    })
  })
}

/** A controller over a cluster that refuses some calls. */
async function startCluster(t: TestContext): Promise<string> {
  const server = await new FakeServer().listen()
  t.after(() => server.close())
  server.install(MODEL_ROUTES, RATE_LIMIT_POLICIES, SERVICES, ENDPOINT_SLICES, CONTROLLER_REVISIONS)
  const kubeconfig = join(temporaryFolder('kubeconfig'), 'config')
  writeFileSync(kubeconfig, JSON.stringify({
    'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'x', 'clusters': [{ name: 'x', cluster: { server: server.url } }],
    'users': [{ name: 'x', user: { token: 'x' } }], 'contexts': [{ name: 'x', context: { cluster: 'x', user: 'x', namespace: 'default' } }],
  }))
  const controller = spawn(process.execPath, [join(root, 'cli/modelroute.js'), 'controller', '--kubeconfig', kubeconfig, '--host', '127.0.0.1', '--push-port', '0', '--control-port', '0', '--insecure', '--leader-elect=false'], { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(controller)
  t.after(() => { controller.kill('SIGKILL') })
  return new Promise((resolve, reject) => {
    createInterface({ input: controller.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as Record<string, string>
      if (line['msg'] === 'listening' && line['name'] === 'control') resolve(new URL(line['url'] ?? '').host)
    }).on('close', () => reject(new Error('the controller ended')))
  })
}

/** Keeps asking for everything. */
async function drive(t: TestContext, url: string): Promise<void> {
  const ended = new AbortController()
  t.after(() => ended.abort())
  const inputs = (n: number) => JSON.stringify({ inputs: [{ name: 'amount', shape: [1], datatype: 'FP32', data: [n % 500] }] })
  const ask = async (path: string, body?: string, headers: Record<string, string> = {}) => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    await fetch(url + path, { ...(body !== undefined && { method: 'POST', body }), headers: { 'content-type': 'application/json', traceparent, ...headers }, signal: AbortSignal.timeout(5000) })
      .then((response) => response.arrayBuffer(), () => {})
  }
  const chat = (n: number) => JSON.stringify({ model: 'llama', temperature: 0, max_tokens: 50, messages: [{ role: 'user', content: n % 3 === 0 ? 'the same' : `word${'abcdefghij'[n % 10]} and ${'klmnopqrst'[Math.floor(n / 10) % 10]} please` }] })
  void (async () => {
    for (let n = 0; !ended.signal.aborted; n++) {
      await Promise.all([
        ask('/v2/models/fraud/infer', inputs(n)), ask('/v2/models/fraud/infer', inputs(n), { 'x-canary': 'always' }), ask('/nowhere'),
        ask('/v1/chat/completions', chat(n)), ask('/limited'), ask('/v2/models/tough/infer', inputs(n)), ask('/broken'), ask('/mirrored'),
        ...[1, 2, 3].map((more) => ask('/v2/models/batched/infer', inputs(n + more))), ask('/composed'),
        ask('/checked', n % 2 === 0 ? '{"a":1}' : '{}', { 'x-key': '1' }), ask('/checked', '{"a":1}'), ask('/rolled'),
      ])
      await sleep(20)
    }
  })()
}

/** What Grafana would make of it, with everything chosen. */
const filled = (expr: string): string => expr.replaceAll('$__rate_interval', '20s').replaceAll('$__range', '1m').replaceAll(/\$\w+/g, '.*')
/** What is compared, without the threshold. */
const inner = (expr: string): string => expr.replace(/\s(?:[<>]|==)\s[\d.]+(?:\s*#.*)?\s*$/, '')

test('every query of every panel and every alert has data once the quickstart and what it has not have run', { timeout: 150_000 }, async (t) => {
  const quickstart = await Promise.all((['1', '2'] as const).map((version) => startModelServer({ version, port: 0, host: '127.0.0.1' })))
  t.after(() => Promise.all(quickstart.map((each) => each.close())))
  const tour = ['route.yaml', 'services.yaml'].map((file) => readFileSync(join(root, 'examples/quickstart', file), 'utf8')).join('\n---\n')
    .replace('18081', new URL(quickstart[0]?.url ?? '').port).replace('18082', new URL(quickstart[1]?.url ?? '').port)
  const plain = await httpUpstream(t, (request, response) => { request.resume().on('end', () => response.setHeader('content-type', 'application/json').end('{"fine":true}')) })
  const backends = { model: await model(t), flaky: [await flaky(t), await flaky(t)] as const, dead: await deadPort(), plain }
  const all = (rolled: number) => `${tour}\n---\n${everything(backends, rolled)}`
  const gateway = await startServe(all(0), '--plugins', join(root, 'examples/plugins'), '--predictions', join(temporaryFolder('predictions'), 'log.jsonl'))
  t.after(() => gateway.stop())
  const [admin = '', control = ''] = ['admin', 'control'].map((name) => new URL(gateway.urls[name] ?? '').host)
  await drive(t, gateway.urls['http'] ?? '')
  const [port = 0] = await freePorts(1)
  const rules = join(temporaryFolder('rules'), 'rendered.yaml')
  writeFileSync(rules, stringify(renderedRules()))
  const cluster = await startCluster(t)
  const prometheus = await startPrometheus(port, { gateway: admin, controller: control, cluster }, [rules])
  t.after(() => prometheus.stop())
  // A version to be rolled out, of which the first step stays.
  writeFileSync(gateway.file, all(100))

  const queries = new Map<string, string>([
    ...dashboards.flatMap(({ file, panels }) => panels.flatMap(({ title, queries: each }) => each.map(([expr]) => [`${file}: ${title}: ${expr}`, filled(expr)] as const))),
    ...(parse(readFileSync(ruleFile, 'utf8')) as Rules).groups.flatMap((group) => group.rules.map(({ alert, expr }) => [`${alert}: ${expr}`, inner(expr)] as const)),
  ])
  assert.ok(queries.size > 100, `${queries.size} queries`)
  const api = async (path: string, parameters: Record<string, string>) =>
    (await (await fetch(`http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`)).json()) as { status: string; error?: string; data: unknown }
  await until('every query to have data', async () => {
    for (const [name, query] of queries) {
      const { status, error, data } = await api('query', { query })
      assert.equal(status, 'success', `${name}: ${error}`)
      if (((data as { result: unknown[] }).result).length > 0) queries.delete(name)
    }
    return queries.size === 0
  }, { timeout: 90_000, every: 500, describe: () => [...queries.keys()].join('\n') })
  const now = Date.now() / 1000
  const exemplars = await api('query_exemplars', { query: 'modelroute_request_duration_seconds_bucket', start: String(now - 300), end: String(now) })
  assert.match(JSON.stringify(exemplars.data), /"trace_id":"a{32}"/)
  const loaded = (await api('rules', {})).data as { groups: { rules: { health: string }[] }[] }
  assert.deepEqual([...new Set(loaded.groups.flatMap((group) => group.rules.map(({ health }) => health)))], ['ok'])
  for (const target of [admin, control, cluster]) {
    const text = await (await fetch(`http://${target}/metrics`)).text()
    assert.equal(await promtool(['check', 'metrics'], text), '', target)
  }
})

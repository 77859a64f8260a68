import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../cluster/wait.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { serviceAt } from '../manifests.ts'
import { freePorts } from '../free-ports.ts'
import { startPrometheus } from './prometheus.ts'
import { startServe } from './serve.ts'

/** Gates that a real Prometheus measures, of the gateway's own metrics. */

const share = (what: string) =>
  `sum(rate(modelroute_requests_total{variant="$variant",route="default/NAME"${what}}[5s]))`
const errors = `(${share(',code=~"5.."')} or vector(0)) / ${share('')}`

const manifests = (ports: readonly number[], prometheus: number, weights: readonly number[]) => [
  serviceAt('one', ports[0] ?? 0), serviceAt('two', ports[1] ?? 0),
  ...['bad', 'good'].map((name) => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}}
spec:
  rules:
  - name: infer
    matches: [{path: {type: PathPrefix, value: /${name}}}]
    backendRefs:
    - {variant: stable, name: one, port: 8000, weight: ${weights[0]}}
    - {variant: canary, name: two, port: 8000, weight: ${weights[1]}}
    rollout:
      candidate: canary
      steps: [{percent: 50, hold: 8s}]
      analysis:
        interval: 1s
        minRequests: 1
        metrics:
        - name: errors
          type: Prometheus
          max: "0.05"
          prometheus: {address: "http://127.0.0.1:${prometheus}", query: '${errors.replaceAll('NAME', name)}'}
        - name: rate
          type: Prometheus
          minRatioToStable: "0.2"
          prometheus: {address: "http://127.0.0.1:${prometheus}", query: '${share('').replaceAll('NAME', name)}'}`),
].join('\n---\n')

type Status = Readonly<{ phase: string; message: string }>

test('a rollout goes on by what Prometheus says, and is aborted by it', { timeout: 120_000 }, async (t) => {
  const stable = await httpUpstream(t, (_request, response) => response.end('one'))
  let failing = 0
  const canary = await httpUpstream(t, (request, response) => {
    response.statusCode = request.url === '/bad' && failing++ % 5 === 0 ? 500 : 200
    response.end('two')
  })
  const [port = 0] = await freePorts(1)
  const gateway = await startServe(manifests([stable, canary], port, [100, 0]))
  t.after(() => gateway.stop())
  const prometheus = await startPrometheus(port, { gateway: new URL(gateway.urls['admin'] ?? '').host })
  t.after(() => prometheus.stop())

  const agent = new Agent({ keepAlive: true, maxSockets: 2 })
  const ended = new AbortController()
  t.after(() => { ended.abort(); agent.destroy() })
  const ask = (path: string) => new Promise<void>((resolve) => {
    get(`${gateway.urls['http']}${path}`, { agent }, (response) => response.resume().on('end', resolve)).on('error', () => resolve())
  })
  void (async () => {
    while (!ended.signal.aborted) {
      await Promise.all([ask('/bad'), ask('/good')])
      await sleep(10)
    }
  })()

  writeFileSync(gateway.file, manifests([stable, canary], port, [0, 100]))
  const statusOf = async (name: string): Promise<Status | undefined> => {
    type Items = { items: { kind: string; metadata: { name: string }; status: { rules?: Status[] } }[] }
    const { items } = (await (await fetch(`${gateway.urls['control']}/status`)).json()) as Items
    return items.find(({ kind, metadata }) => kind === 'ModelRoute' && metadata.name === name)?.status.rules?.[0]
  }
  const messages = new Set<string>()
  const reached = (name: string, phase: string) => until(`${name} to be ${phase}`, async () => {
    const status = await statusOf(name)
    if (status) messages.add(`${name} ${status.phase} ${status.message}`)
    return status?.phase === phase && failing > 0
  }, { timeout: 60_000, every: 50, describe: () => [...messages].join('\n') })
  const completed = reached('good', 'Progressing').then(() => reached('good', 'Stable'))
  await reached('bad', 'Aborted')
  assert.match((await statusOf('bad'))?.message ?? '', /errors FAILS: 0\.\d+, at most 0\.05; rate /)
  await completed
  const judged = [...messages].filter((message) => message.startsWith('good') && message.includes('rate passes'))
  assert.match(judged.join('\n'), /errors passes: 0, at most 0\.05; rate passes: [\d.]+, stable [\d.]+, at least 0\.2 × stable/)
})

import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startServing, type Served } from '../../../cli/serve.ts'
import { deadPort, httpUpstream } from '../../dataplane/sockets.ts'
import { serviceAt } from '../../manifests.ts'

/** What a browser must never take for markup, in every place where tenants and callers can put text. */
export const hostile = '<img src=x onerror=window.hit=1>'

const keyOf = (consumer: string) => `k-of-${createHash('sha256').update(consumer).digest('hex').slice(0, 20)}`

const secret = (consumer: string, i: number) => `apiVersion: v1
kind: Secret
metadata:
  name: key-${i}
  namespace: ml
  labels: {modelroute.io/credential: api-key, team: a}
  annotations: {modelroute.io/consumer: ${JSON.stringify(consumer)}, modelroute.io/tier: pro}
stringData: {keySha256: ${createHash('sha256').update(keyOf(consumer)).digest('hex')}}`

const plain = (i: number) => `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: model-${String(i).padStart(4, '0')}, namespace: tenants}
spec:
  rules:
  - name: infer
    matches: [{path: {value: /m/${i}}}]
    backendRefs: [{variant: stable, name: plain, port: 8000}]`

type Shape = Readonly<{ consumers: readonly string[]; version: string; perMinute: number; weights: readonly [stable: number, canary: number] }>

function manifests(good: number, slow: number, dead: number, { consumers, version, perMinute, weights }: Shape): string {
  return [`apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
  - name: infer
    matches: [{path: {value: /v2/models/fraud}}]
    circuitBreaker: {maxRequests: 64, maxPending: 128, errorPercent: 50, openFor: 5s}
    backendRefs:
    - {variant: stable, name: good, port: 8000, weight: ${weights[0]}, model: {version: "1"}}
    - {variant: canary, name: slow, port: 8000, weight: ${weights[1]}, model: {version: "2"}}
    rollout:
      candidate: canary
      steps: [{percent: 5, hold: 1h}, {percent: 25, hold: 1h}, {percent: 50, approval: true}]
      analysis: {metrics: [{name: error-rate, max: "0.5"}]}
  - name: explained
    matches: [{path: {value: /v2/models/fraud-shap}}]
    backendRefs: [{variant: stable, name: good, port: 8000, model: {version: ${JSON.stringify(version)}}}]`,
  `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: chat, namespace: ml}
spec:
  auth: {anyOf: [{apiKey: {in: Header, name: x-api-key, selector: {matchLabels: {team: a}}}}]}
  rules:
  - name: completions
    matches: [{path: {value: /v1/chat/completions}}]
    backendRefs: [{variant: stable, name: slow, port: 8000}]`,
  `apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: tiers, namespace: ml}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: chat}]
  limits:
  - {name: per-minute, counters: [{type: Principal}], rate: {requests: ${perMinute}, window: 1m}}
  - {name: daily, counters: [{type: Principal}], rate: {requests: 50000, window: 24h}}`,
  `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: catalogue, namespace: shop}
spec:
  rules:
  - name: search
    matches: [{path: {value: /search}}]
    cache: {ttl: 5m, scope: Shared, maxBytes: 64Mi}
    backendRefs: [{variant: stable, name: plain, port: 8000}]
  - name: rank
    matches: [{path: {value: /rank}}]
    backendRefs: [{variant: stable, name: gone, port: 8000}]
    circuitBreaker: {maxRequests: 64, maxPending: 128, errorPercent: 50, openFor: 5s}`,
  ...Array.from({ length: 8 }, (_, i) => plain(i)),
  ...consumers.map(secret),
  serviceAt('good', good, 'ml'), serviceAt('slow', slow, 'ml'), serviceAt('plain', good, 'shop'), serviceAt('gone', dead, 'shop'), serviceAt('plain', good, 'tenants'),
  ].join('\n---\n')
}

export type Scene = Readonly<{
  served: Served
  /** Requests of every kind that there is, and waits for their answers. */
  traffic(rounds: number): Promise<void>
  close(): Promise<void>
}>

/** What commands about rollouts are given with. */
export const token = 'a-token-of-the-console-of-these-tests'

/** A gateway of one process, its models, and those who call them. `pretty`: as one would show it, without names that would be markup. */
export async function openScene({ port = 0, pretty = false }: Readonly<{ port?: number; pretty?: boolean }> = {}): Promise<Scene> {
  const consumers = ['ann', 'batch-scoring', 'checkout', pretty ? 'night-batch' : hostile]
  const folder = mkdtempSync(join(tmpdir(), 'console-'))
  const cleanups: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  const hold = { after: (fn: () => unknown) => { cleanups.push(fn) } } as unknown as TestContext
  let turn = 0
  const answer = (milliseconds: () => number) => httpUpstream(hold, (request, response) => {
    request.resume().once('end', () => setTimeout(() => response.writeHead(++turn % 97 === 0 ? 500 : 200, { 'content-type': 'application/json' }).end('{"outputs":[]}'), milliseconds()))
  })
  const good = await answer(() => 2 + turn % 9)
  const slow = await answer(() => 12 + turn % 50)
  const dead = await deadPort()
  const write = (...weights: [number, number]) => writeFileSync(join(folder, 'all.yaml'), manifests(good, slow, dead, { consumers, version: pretty ? '7' : hostile, perMinute: pretty ? 1500 : 120, weights }))
  write(100, 0)
  writeFileSync(join(folder, 'token'), token, { mode: 0o600 })
  const served = await startServing({
    filename: [folder], host: '127.0.0.1', httpPort: 0, adminHost: '127.0.0.1', adminPort: port, controlPort: 0, drainDelay: 0, drainTimeout: 500, logLevel: 'error', audit: join(folder, 'audit.log'),
    consoleActions: true, consoleTokenFile: join(folder, 'token'),
  })
  await served.started
  // From here on a rollout is under way, at its first step.
  write(0, 100)
  const ask = (path: string, headers: Record<string, string> = {}, method = 'POST') =>
    fetch(`${served.url}${path}`, { method, ...(method === 'POST' && { body: '{"inputs":[]}' }), headers: { 'content-type': 'application/json', ...headers } }).then((response) => response.text())
  return {
    served,
    async traffic(rounds) {
      for (let i = 0; i < rounds; i++) {
        await Promise.all([
          ...Array.from({ length: 10 }, () => ask('/v2/models/fraud/infer')),
          ask('/v2/models/fraud-shap/infer'),
          ...consumers.filter((_, c) => c === 1 || i % (c + 2) === 0).map((who) => ask('/v1/chat/completions', { 'x-api-key': keyOf(who) })),
          ask('/v1/chat/completions'),
          ask(`/search?q=${i % 5}`, {}, 'GET'), ask(`/search?q=${i % 31}`, {}, 'GET'),
          ...(i % 4 === 0 ? [ask('/rank'), ask('/nothing/here')] : []),
          ask(`/m/${i % 7}/infer`),
        ])
      }
    },
    async close() {
      await served.end()
      for (const cleanup of cleanups) await cleanup()
    },
  }
}

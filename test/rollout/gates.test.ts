import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'node:test'
import { until } from '../cluster/wait.ts'
import { eventually, httpUpstream } from '../dataplane/sockets.ts'
import { inTime, watchMachine } from '../machine.ts'
import { serviceAt } from '../manifests.ts'
import { startServe } from '../servers/serve.ts'

/** Gates, from the requests of callers to the shares in force: one process, as users run it, and one with workers. */

const manifests = (stable: number, canary: number, hook: number, weights: readonly [number, number]) => [
  serviceAt('one', stable), serviceAt('two', canary),
  ...[['bad', '{percent: 25, hold: 1h}', '0.01', ''], ['good', '{percent: 50, hold: 1s}', '0.05', `\n        - {name: opinion, type: Webhook, max: "0.5", webhook: {url: "http://127.0.0.1:${hook}/"}}`]].map(([name = '', step = '', errors = '', more = '']) => `
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
      steps: [${step}]
      analysis:
        interval: 1s
        minRequests: 50
        metrics:
        - {name: error-rate, max: "${errors}"}
        - {name: p50-latency, max: "1"}${more}`),
].join('\n---\n')

type Status = Readonly<{ phase: string; message: string; backends: readonly Readonly<{ variant: string; effectiveWeight: number }>[] }>

async function statusOf(control: string, name: string): Promise<Status | undefined> {
  type Items = { items: { kind: string; metadata: { name: string }; status: { rules?: Status[] } }[] }
  const { items } = (await (await fetch(`${control}/status`)).json()) as Items
  return items.find(({ kind, metadata }) => kind === 'ModelRoute' && metadata.name === name)?.status.rules?.[0]
}

for (const workers of [1, 2]) {
  test(`a failing candidate is back at 0 in seconds, and a good one at its target, with ${workers} processes`, { timeout: 200_000 }, async (t) => {
    const stable = await httpUpstream(t, (_request, response) => response.end('one'))
    let failing = 0
    const canary = await httpUpstream(t, (request, response) => {
      response.statusCode = request.url?.startsWith('/bad') === true && failing++ % 5 === 0 ? 500 : 200
      response.end('two')
    })
    const asked: string[] = []
    const hook = await httpUpstream(t, (request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => asked.push(text)).on('end', () => response.end('{"value": 0.1}'))
    })
    const gateway = await startServe(manifests(stable, canary, hook, [100, 0]), '--workers', String(workers))
    const { http = '', control = '' } = gateway.urls

    const agent = new Agent({ keepAlive: true, maxSockets: 4 })
    const ended = new AbortController()
    t.after(async () => {
      ended.abort()
      agent.destroy()
      await gateway.stop()
    })
    const ask = (path: string) => new Promise<void>((resolve) => {
      get(http + path, { agent }, (response) => response.resume().on('end', resolve)).on('error', () => resolve())
    })
    const traffic = async (): Promise<void> => {
      while (!ended.signal.aborted) {
        await Promise.all([ask('/bad'), ask('/good')])
        await sleep(2)
      }
    }
    void Promise.all([traffic(), traffic()])

    writeFileSync(gateway.file, manifests(stable, canary, hook, [0, 100]))
    const inPhase = (name: string, phase: string) => until(`${name} to be ${phase}`, async () => {
      const status = await statusOf(control, name)
      return status?.phase === phase ? status : undefined
    }, { every: 20 })
    await eventually(() => failing > 0)
    const machine = watchMachine()
    const since = performance.now()
    const aborted = await inPhase('bad', 'Aborted')
    const took = performance.now() - since
    t.diagnostic(`aborted after ${took.toFixed(0)} ms`)
    assert.match(aborted.message, /error-rate FAILS: 0\.\d+ \(0\.\d+ to 0\.\d+\), at most 0\.01; p50-latency/)
    assert.equal(aborted.backends.find(({ variant }) => variant === 'canary')?.effectiveWeight, 0)
    // Two intervals, a second until what was counted is told, and as much again for a machine that has other things to do.
    inTime(t, 'to be back', took, 6000, machine())
    const done = await inPhase('good', 'Stable')
    assert.equal(done.backends.find(({ variant }) => variant === 'canary')?.effectiveWeight, 1_000_000)
    const { route, gate, variant } = JSON.parse(asked[0] ?? '{}') as Record<string, string>
    assert.deepEqual([route, gate, variant], ['default/good', 'opinion', 'canary'])
  })
}

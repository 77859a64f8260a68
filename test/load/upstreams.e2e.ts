// Backends that fail, drown and come back, under load: real processes, the whole gateway over files.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { adopt, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { percentile, startLoad, type Sample } from '../load.ts'
import { counts, holds, inTime, watchMachine } from '../machine.ts'
import { startServe } from '../servers/serve.ts'

const fixture = join(import.meta.dirname, 'fixtures/servers.ts')

type Servers = Readonly<{ child: ChildProcess; ports: readonly number[] }>

async function startServers(t: TestContext, milliseconds: number, ports: readonly number[]): Promise<Servers> {
  const child = spawn(process.execPath, [fixture, String(milliseconds), ...ports.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(child)
  t.after(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface({ input: child.stdout }), 'line') as [string]
  return { child, ports: JSON.parse(line) as number[] }
}

type Endpoint = Readonly<{ address: string; port: number }>

/** A slice has one port, so endpoints with other ports are in another one. */
function manifests(endpoints: readonly Endpoint[], rule: string): string {
  const byPort = Map.groupBy(endpoints, ({ port }) => port)
  return `apiVersion: v1
kind: Service
metadata: {name: model}
spec: {ports: [{port: 8000}]}
---
${[...byPort].map(([port, all]) => `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: model-${port}, labels: {kubernetes.io/service-name: model}}
addressType: IPv4
ports: [{port: ${port}}]
endpoints: [${all.map(({ address }) => `{addresses: [${address}]}`).join(', ')}]
---
`).join('')}apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: model}
spec:
  rules:
  - name: infer
    backendRefs: [{variant: only, name: model, port: 8000}]
    ${rule}
`
}

const local = (ports: readonly number[]) => ports.map((port) => ({ address: '127.0.0.1', port }))
const good = ({ status }: Sample) => status === 200
/** Refused since the gateway itself was held up for too long: by what else the machine does, or by a fault. */
const isShed = ({ headers }: Sample) => headers['x-modelroute-error'] === 'overloaded'

/** Of the seconds of a measurement, the median of their 99th percentiles: a pause of the machine is in one or two of them. */
function p99(samples: readonly Sample[]): number {
  const seconds = Map.groupBy(samples, ({ at }) => Math.floor(at / 1000))
  return percentile([...seconds.values()].filter(({ length }) => length > 100).map((one) => percentile(one.map(({ ms }) => ms), 0.99)), 0.5)
}

/** How many requests were on their way together, at most. */
function atOnce(samples: readonly Sample[]): number {
  const changes = samples.flatMap(({ at, ms }) => [[at, 1], [at + ms, -1]] as const).toSorted(([a, one], [b, other]) => a - b || one - other)
  let [now, most] = [0, 0]
  for (const [, change] of changes) most = Math.max(most, now += change)
  return most
}

const load = (url: string, rate: number, seconds: number, patience?: number) =>
  startLoad({ targets: [url], path: '/v2/models/model/infer', body: '{}', rate, limit: rate * seconds, ...(patience !== undefined && { patience }) })

for (const [what, rule] of [
  ['by what every rule does', ''],
  ['by passive health, round robin', 'loadBalancing: {policy: RoundRobin}\n    timeouts: {connect: 1s, firstByte: 1s}\n    health: {passive: {consecutiveErrors: 3, ejectFor: 30s}}'],
  ['by active health, round robin', 'loadBalancing: {policy: RoundRobin}\n    timeouts: {connect: 1s}\n    health: {active: {path: /ready, interval: 400ms, timeout: 400ms, unhealthy: 2}}'],
] as const) {
  test(`one endpoint of ten becomes a black hole, ${what}: after 2 s nobody notices`, { timeout: 300_000 }, async (t) => {
    const nine = await startServers(t, 5, Array(9).fill(0))
    const hole = await startServers(t, 5, [0])
    const measure = async () => {
      hole.child.kill('SIGCONT')
      const gateway = await startServe(manifests(local([...nine.ports, ...hole.ports]), rule))
      try {
        const running = load(gateway.urls['http'] ?? '', 300, 11, 10_000)
        const began = performance.now()
        await sleep(4000)
        // It takes no more packets than fit its buffers, and answers none: SYNs are dropped once its backlog is full.
        hole.child.kill('SIGSTOP')
        const stopped = performance.now()
        await sleep(7500)
        const samples = await running.stop()
        const normal = samples.filter(({ at }) => at > began + 1000 && at < stopped - 200)
        const after = samples.filter(({ at }) => at > stopped + 2000)
        const since = samples.filter(({ at }) => at > stopped - 200)
        return { normal: p99(normal), after: p99(after.filter(good)), sound: normal.every(good), served: samples.filter(good).length / samples.length, unanswered: since.filter(({ status }) => status === 0).length, late: after.filter((one) => !good(one)).length, most: atOnce(since.filter(good)) }
      } finally {
        await gateway.stop()
      }
    }
    await holds(t, {
      measure: async () => {
        const found = await measure()
        t.diagnostic(`p99 ${found.normal.toFixed(1)} ms before, ${found.after.toFixed(1)} ms after; ${found.unanswered} unanswered; ${found.late} failed after 2 s; at most ${found.most} others at once`)
        assert.ok(found.served > 0.5, `${found.served} of all requests were served`)
        // Without a look at health it is the endpoint with the fewest requests that is asked, whatever the time: one that
        // keeps what it gets is asked again when each of the nine has as many.
        if (rule === '') assert.ok(found.unanswered <= 1 + found.most / 9, `${found.unanswered} unanswered, and at most ${found.most} others were there at once`)
        return found
      },
      fault: ({ sound, late, normal, after }) =>
        !sound ? 'a request failed that had nothing in its way'
          : rule !== '' && late > 0 ? `${late} failed after 2 s`
            : after > 1.5 * normal ? `p99 ${after.toFixed(1)} ms after ${normal.toFixed(1)} ms` : undefined,
    })
  })
}

// Side by side, each with a gateway and servers of its own: nearly all of their time is waiting.
describe('outages', { concurrency: true }, () => {
  for (const [what, rule] of [
    ['by what every rule does', ''],
    ['with health and a circuit breaker', 'health: {active: {path: /ready, interval: 500ms, healthy: 1}, passive: {consecutiveErrors: 3, ejectFor: 30s}}\n    circuitBreaker: {errorPercent: 50, openFor: 1s}'],
  ] as const) {
    test(`all endpoints die and come back, ${what}: all traffic is served within 2 s`, { timeout: 180_000 }, async (t) => {
      const first = await startServers(t, 5, Array(5).fill(0))
      const gateway = await startServe(manifests(local(first.ports), rule))
      t.after(() => gateway.stop())
      const machine = watchMachine()
      const running = load(gateway.urls['http'] ?? '', 300, 9, 10_000)
      await sleep(2000)
      first.child.kill('SIGKILL')
      await sleep(3000)
      await startServers(t, 5, first.ports)
      const back = performance.now()
      await sleep(4000)
      const samples = await running.stop()
      const last = samples.findLast((sample) => !good(sample))
      const late = (last?.at ?? back) - back
      t.diagnostic(`the last request that failed came ${late.toFixed(0)} ms after they were back`)
      assert.ok(samples.some((sample) => !good(sample)))
      assert.ok(good(samples.at(-1) ?? assert.fail('no request')), 'they are asked again')
      inTime(t, 'the last request that failed', late, 2000, machine())
    })
  }
})

test('500 endpoints of which 20 a second are exchanged, under load: no request fails, and each change is in force within 500 ms', { timeout: 180_000 }, async (t) => {
  const removedAt = new Map<string, number>()
  const late: number[] = []
  const listener: RequestListener = (request, response) => {
    const address = request.socket.localAddress ?? ''
    const removed = removedAt.get(address)
    if (removed !== undefined) late.push(performance.now() - removed)
    request.resume()
    response.end('{}')
  }
  const server = createServer(listener)
  server.listen(0, '0.0.0.0')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as { port: number }
  const addressOf = (n: number) => `127.1.${n >> 8}.${n & 255}`
  const endpoints = Array.from({ length: 500 }, (_, n) => ({ address: addressOf(n + 1), port }))
  const file = join(temporaryFolder('endpoints'), 'all.yaml')
  const write = () => {
    writeFileSync(`${file}.new`, manifests(endpoints, ''))
    renameSync(`${file}.new`, file)
  }
  write()
  const gateway = await startServe('', '-f', file)
  t.after(() => gateway.stop())
  const inForce = async () => {
    const { items: [only] } = await (await fetch(`${gateway.urls['admin']}/upstreams`)).json() as { items: { endpoints: { endpoint: string }[] }[] }
    return new Set(only?.endpoints.map(({ endpoint }) => endpoint.split(':')[0] ?? ''))
  }
  await until('all endpoints', async () => (await inForce()).size === 500, { timeout: 60_000, every: 50 })

  const seconds = 10
  const machine = watchMachine()
  const running = load(gateway.urls['http'] ?? '', 400, seconds)
  const added = new Map<string, number>()
  const convergence: number[] = []
  let next = 501
  const over = new AbortController()
  const watch = (async () => {
    while (!over.signal.aborted) {
      const known = await inForce()
      const now = performance.now()
      for (const [address, at] of added) {
        if (!known.has(address)) continue
        convergence.push(now - at)
        added.delete(address)
      }
      await sleep(10)
    }
  })()
  const began = performance.now()
  for (let change = 0; change < seconds * 20; change++) {
    const wait = began + change * 50 - performance.now()
    if (wait > 0) await sleep(wait)
    const gone = endpoints.shift()
    const come = { address: addressOf(next++), port }
    endpoints.push(come)
    write()
    const now = performance.now()
    removedAt.set(gone?.address ?? '', now)
    added.set(come.address, now)
  }
  await until('the last change', () => Promise.resolve(added.size === 0), { timeout: 60_000, every: 20 })
  over.abort()
  await watch
  const samples = await running.stop()
  const worst = Math.max(...convergence)
  t.diagnostic(`${convergence.length} changes in force after ${percentile(convergence, 0.5).toFixed(0)} ms (median), ${percentile(convergence, 0.99).toFixed(0)} ms (p99), ${worst.toFixed(0)} ms at worst; `
    + `the last request to an endpoint that is gone came ${Math.max(0, ...late).toFixed(0)} ms after; ${samples.filter((one) => !good(one)).length} of ${samples.length} failed, p99 ${p99(samples).toFixed(1)} ms`)
  const did = machine()
  const failed = samples.filter((one) => !good(one))
  assert.deepEqual(failed.filter((one) => !isShed(one)), [])
  if (failed.length > 0) counts(t, `${failed.length} of ${samples.length} were refused as overloaded`, did)
  inTime(t, 'a change to be in force', worst, 500, did)
  inTime(t, 'the last request to who is gone', Math.max(0, ...late), 500, did)
})

test('a model that answers nobody, with 1,000 requests waiting, does not slow another one of the same server', { timeout: 180_000 }, async (t) => {
  const server = createServer((request, response) => {
    if (request.url?.includes('/hangs/')) return
    request.resume()
    setTimeout(() => response.end('{}'), 5)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as { port: number }
  const rules = `matches: [{path: {type: PathPrefix, value: /v2/models/model}}]
  - name: hangs
    matches: [{path: {type: PathPrefix, value: /v2/models/hangs}}]
    backendRefs: [{variant: only, name: model, port: 8000}]`
  const gateway = await startServe(manifests([{ address: '127.0.0.1', port }], rules), '--max-connections-per-address', '4096')
  t.after(() => gateway.stop())
  const url = gateway.urls['http'] ?? ''
  const measure = async () => {
    const running = load(url, 300, 4)
    await sleep(4200)
    const samples = await running.stop()
    const failed = samples.filter((one) => !good(one))
    const wrong = failed.filter((one) => !isShed(one))
    assert.equal(wrong.length, 0, wrong.map(({ status, error, headers }) => `${status} ${error} ${String(headers['x-modelroute-error'])}`).slice(0, 5).join('; '))
    return { shed: failed.length, ms: p99(samples.slice(300).filter(good)) }
  }
  const besideStuck = async () => {
    const leave = new AbortController()
    t.after(() => leave.abort())
    let settled = 0
    const stuck = Array.from({ length: 1256 }, () => fetch(`${url}/v2/models/hangs/infer`, { method: 'POST', body: '{}', signal: leave.signal }).then(() => settled++, () => settled++))
    const inFlight = async () => {
      const { items } = await (await fetch(`${gateway.urls['admin']}/upstreams`)).json() as { items: { rule: string; endpoints: { inFlight: number }[] }[] }
      return Math.max(...items.map(({ endpoints: [one] }) => one?.inFlight ?? 0))
    }
    await until('they wait', async () => await inFlight() >= 1256, { timeout: 60_000, every: 50 })
    const beside = await measure()
    assert.equal(settled, 0, 'they wait still')
    leave.abort()
    await Promise.all(stuck)
    await until('them to be gone', async () => await inFlight() < 100, { timeout: 60_000, every: 50 })
    return beside
  }
  await holds(t, {
    measure: async () => [await measure(), await besideStuck()] as const,
    fault: ([alone, beside]) => {
      t.diagnostic(`p99 ${alone.ms.toFixed(1)} ms alone, ${beside.ms.toFixed(1)} ms beside 256 requests that hang and 1,000 that wait for a connection`)
      if (beside.shed > 0) return `${beside.shed} were refused as overloaded`
      return beside.ms <= 1.5 * alone.ms ? undefined : `p99 ${beside.ms.toFixed(1)} ms, and ${alone.ms.toFixed(1)} alone`
    },
  })
})

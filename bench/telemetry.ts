import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuOf, endAll, otherCore, outputOf, proxyCore, rssOf, said, start } from './processes.ts'
import { median } from './report.ts'
import { startRig, usualBody } from './rig.ts'

/**
 * `npm run bench:telemetry [-- --rounds N] [--seconds N] [--only NAME,…]`: what being seen costs. Proxies with and without it
 * share one core, the rounds of all take turns, and each is compared with the round of another one beside it. What else runs on
 * the machine only makes a round longer: of many short ones (`--rounds 80 --seconds 0.08`) the best tenth says what a request costs.
 */
const argument = (name: string) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1]
}
const [rounds, seconds, only] = [Number(argument('rounds') ?? 12), Number(argument('seconds') ?? 2), argument('only')?.split(',')]

/** The tenth that is best. */
const best = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 10)] ?? Number.NaN

/** `beside`: the one that it is compared with; without, it is there for the others. */
type Setting = Readonly<{ beside?: 'metrics' | 'nothing'; flags: readonly string[]; variables?: Readonly<Record<string, string>> }>
const quiet = ['--log-level', 'warn', '--ledger', 'none']
const sampled = (ratio: number) => ({ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: String(ratio) })

const manifests = (port: number) => `
apiVersion: v1
kind: Service
metadata: {name: one, namespace: bench}
spec: {ports: [{name: http, port: 8000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: one, namespace: bench, labels: {kubernetes.io/service-name: one}}
addressType: IPv4
ports: [{name: http, port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: bench}
spec:
  rules:
  - name: infer
    matches: [{path: {type: PathPrefix, value: /}}]
    backendRefs: [{variant: stable, name: one, port: 8000}]
`

const folder = await mkdtemp(join(tmpdir(), 'bench-telemetry-'))
/** Not beside the resources: all proxies watch their folder. */
const elsewhere = await mkdtemp(join(tmpdir(), 'bench-ledger-'))
let received = 0
/** Takes what proxies send, and looks at none of it. */
const collector = createServer((request, response) => {
  request.on('data', (chunk: Buffer) => { received += chunk.length }).on('end', () => response.end())
})
try {
  await outputOf(otherCore, ['taskset', '-cp', String(otherCore), String(process.pid)])
  const rig = await startRig()
  collector.listen(0, '127.0.0.1')
  await once(collector, 'listening')
  const address = collector.address()
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${typeof address === 'object' ? address?.port ?? 0 : 0}` }
  const settings = new Map<string, Setting>([
    ['nothing', { flags: quiet, variables: { NODE_OPTIONS: `--import ${join(import.meta.dirname, 'uncounted.ts')}` } }],
    ['metrics', { flags: quiet, beside: 'nothing' }],
    ['metrics + log', { flags: ['--ledger', 'none'], beside: 'nothing' }],
    ['metrics + log + ledger in it', { flags: [], beside: 'nothing' }],
    ['metrics + log + ledger in a file', { flags: ['--ledger', join(elsewhere, 'usage.jsonl')], beside: 'nothing' }],
    ['traces of 1 %', { flags: quiet, variables: { ...endpoint, ...sampled(0.01) }, beside: 'metrics' }],
    ['traces of 100 %', { flags: quiet, variables: { ...endpoint, ...sampled(1) }, beside: 'metrics' }],
  ])
  const chosen = [...settings].filter(([name]) => only === undefined || only.some((one) => one === name || settings.get(one)?.beside === name))
  await writeFile(join(folder, 'routes.yaml'), manifests(rig.ports[0] ?? 0))

  const proxies: Readonly<{ name: string; beside: string | undefined; pid: number; port: number; cpu: number[]; rate: number[] }>[] = []
  for (const [name, { flags, variables, beside }] of chosen) {
    const started = start(proxyCore, [
      process.execPath, join(import.meta.dirname, '../cli/modelroute.js'), 'serve', '-f', folder, '--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--control-port', '0', ...flags,
    ], variables)
    const http = await said<{ name: string; url: string }>(started, (line) => line.name === 'http')
    if (http === undefined) throw new Error(`${name} did not start`)
    started.discard()
    proxies.push({ name, beside, pid: started.pid, port: Number(new URL(http.url).port), cpu: [], rate: [] })
  }
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node ${process.version}; ${rounds} rounds of ${seconds} s\n`)
  const idle = new Map<string, number>()
  for (const { name, pid } of proxies) idle.set(name, await rssOf(pid))

  const probe = async ({ name, pid, port }: (typeof proxies)[number], ms: number, more: Readonly<Record<string, string>> = {}) => {
    // A core that something else holds makes a proxy refuse some: that round says nothing.
    for (let tries = 0; tries < 5; tries++) {
      const before = await cpuOf(pid)
      const result = await rig.run({ kind: 'closed', port, path: '/v2/models/fraud/infer', headers: { 'content-type': 'application/json', ...more }, body: usualBody, connections: 32, ms })
      if (result.wrong === 0) return { rate: (result.done * 1000) / result.ms, cpu: (await cpuOf(pid) - before) / result.done }
      console.log(`${name}: ${result.wrong} wrong answers`)
    }
    throw new Error(`${name} answers wrong`)
  }
  // Also what one request of a hundred does is compiled when this ends, as it is in a proxy that has run for a minute.
  for (const proxy of proxies) {
    await probe(proxy, 3000, { traceparent: `00-${'5'.repeat(32)}-${'5'.repeat(16)}-01` })
    await probe(proxy, 1000)
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < proxies.length; i++) {
      // Each is the first of a round as often as the others.
      const proxy = proxies[(i + round) % proxies.length]
      if (proxy === undefined) continue
      const { rate, cpu } = await probe(proxy, seconds * 1000)
      proxy.rate.push(rate)
      proxy.cpu.push(cpu)
    }
  }
  console.log('| | beside | requests/s | of its throughput | CPU µs/request | more CPU | in the best tenth | of its throughput, by that | RSS idle, after load MiB |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
  for (const { name, beside, pid, rate, cpu } of proxies) {
    const other = proxies.find((one) => one.name === beside)
    const ratio = (own: readonly number[], others: readonly number[] = []) => median(own.map((one, i) => one / (others[i] ?? Number.NaN)))
    const [less, more] = [1 - ratio(rate, other?.rate), ratio(cpu, other?.cpu) - 1]
    const [own, others] = [best(cpu), best(other?.cpu ?? [])]
    const percent = (share: number) => (other === undefined ? '–' : `${(share * 100).toFixed(1)} %`)
    console.log(`| ${name} | ${other?.name ?? ''} | ${median(rate).toFixed(0)} | ${percent(less)} | ${median(cpu).toFixed(1)} | ${percent(more)} | ${own.toFixed(1)} | ${percent(1 - others / own)} | ${(idle.get(name) ?? 0).toFixed(0)}, ${(await rssOf(pid)).toFixed(0)} |`)
  }
  console.log(`\n${(received / 1024).toFixed(0)} KiB of spans were received`)
} finally {
  collector.closeAllConnections()
  collector.close()
  await endAll()
  for (const one of [folder, elsewhere]) await rm(one, { recursive: true })
}

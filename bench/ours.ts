import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packaged } from './packaged.ts'
import { answering, call, type Peer } from './peers.ts'
import { otherCore, proxyCore, said, start } from './processes.ts'

// Quoted: `off` and `on` are no text in YAML.
const metadata = (name: string, more = '') => `metadata: {name: '${name}', namespace: bench${more}}`

const service = (name: string, ports: readonly number[]) => `
apiVersion: v1
kind: Service
${metadata(name)}
spec: {ports: [{name: http, port: 8000}]}
${ports.map((port, i) => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
${metadata(`${name}-${i}`, `, labels: {kubernetes.io/service-name: ${name}}`)}
addressType: IPv4
ports: [{name: http, port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]
`).join('')}---`

const key = 'a-key-of-the-benchmark'

/** What a caller is known by, and how much it may ask for: never reached. */
const access = `
apiVersion: v1
kind: Secret
${metadata('caller', ", labels: {modelroute.io/credential: api-key}, annotations: {modelroute.io/consumer: bench, modelroute.io/tier: pro}")}
stringData: {keySha256: ${createHash('sha256').update(key).digest('hex')}}
---
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
${metadata('much')}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: 'on'}]
  limits: [{name: much, algorithm: TokenBucket, counters: [{type: Principal}], rate: {requests: 10000000, window: 1s}}]
---`

const route = (name: string, gateway: string, path: string, backends: string, more = '', auth = '') => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
${metadata(name)}
spec:
  gatewayNames: ['${gateway}']${auth}
  rules:
  - name: infer
    matches: [{path: {type: PathPrefix, value: ${path}}${more}}]
    backendRefs: [${backends}]
---`

const all = '{variant: stable, name: one, port: 8000}'
const halves = '{variant: stable, name: left, port: 8000, weight: 50}, {variant: canary, name: right, port: 8000, weight: 50}'

/** The route that is asked for among 4,999 others: for the same host, other hosts, and with header matches that do not apply. */
const many = () => Array.from({ length: 4999 }, (_, i) => route(
  `other-${i}`, 'many', `/v2/models/other-${i}`, all, i % 2 === 0 ? ', headers: [{name: x-tier, value: gold}]' : '',
)).join('')

export const modes = ['off', 'on', 'logged', 'many'] as const
type Mode = (typeof modes)[number]

export type OursOptions = Readonly<{
  /** Also given to the processes measured, to node itself. */
  flags: readonly string[]
  /** The folder of another version, measured beside this one. */
  against: string | undefined
}>

export async function startOurs(ports: readonly number[], folder: string, wanted: readonly Mode[], { flags, against }: OursOptions): Promise<Peer[]> {
  if (wanted.length === 0) return []
  const [one = 0, two = 0, three = 0, four = 0] = ports
  const file = join(folder, 'routes.yaml')
  await writeFile(file, [
    service('one', [one]), service('left', [one, two]), service('right', [three, four]),
    route('off', 'off', '/', all), route('on', 'on', '/', halves, '', '\n  auth: {anyOf: [{apiKey: {in: Header, name: x-api-key}}]}'), access, route('many', 'many', '/', all), wanted.includes('many') ? many() : '',
  ].join(''))
  const bin = packaged(join(folder, 'package'))
  // Nothing is kept of what is compiled, as in a container.
  const env = { NODE_DISABLE_COMPILE_CACHE: '1' }
  const controller = start(otherCore, [
    process.execPath, bin, 'controller', '-f', file, '--push-port', '0', '--control-port', '0', '--log-level', 'warn',
  ], env)
  const push = await said<{ name: string; url: string }>(controller, ({ name }) => name === 'push')
  if (!push) throw new Error('the controller did not start')

  const proxies: Peer[] = []
  const versions = [{ program: bin, note: '' }, ...(against === undefined ? [] : [{ program: packaged(join(folder, 'against'), against), note: ` of ${against}` }])]
  for (const [mode, { program, note }] of wanted.flatMap((each) => versions.map((version) => [each, version] as const))) {
    const started = start(proxyCore, [
      process.execPath, ...flags, program, 'dataplane', '--controller', push.url, '--gateway', mode === 'logged' ? 'on' : mode,
      '--drain-delay', '0s', '--drain-timeout', '1s', '--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--health-port', '0', '--snapshot', 'none',
      '--log-level', mode === 'logged' ? 'info' : 'warn',
      ...(note === '' && mode !== 'logged' ? ['--ledger', 'none'] : []),
    ], env)
    const http = await said<{ name: string; url: string }>(started, ({ name }) => name === 'http')
    const port = Number(http && new URL(http.url).port)
    const headers = { 'x-api-key': key }
    if (!await answering(port, '/', 30_000, headers)) throw new Error(`the proxy ${mode} did not start`)
    // Its logs are read, as an agent on the machine would, and no more: that core is the load's.
    started.discard()
    proxies.push({ name: mode + note, pid: started.pid, port, call: mode === 'on' || mode === 'logged' ? { ...call, headers } : call })
  }
  return proxies
}

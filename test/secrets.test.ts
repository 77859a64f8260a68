import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { authority as makeAuthority } from './certificates.ts'
import { deadPort, eventually, httpUpstream } from './dataplane/sockets.ts'

/**
 * Secrets planted wherever there may be any, and all that is written or told anywhere searched for them. What is added
 * to the one or to the other belongs in here too.
 */

const bin = join(import.meta.dirname, '../cli/modelroute.js')
const canary = (name: string) => `planted-canary-${name}-3f9c1e7b5d20a846`
const names = ['key', 'wrong', 'query', 'cookie', 'bearer', 'basic', 'hmac', 'client', 'upstream', 'pepper', 'body', 'prompt', 'claim', 'header', 'typo', 'form'] as const
const secrets = Object.fromEntries(names.map((name) => [name, canary(name)])) as Record<(typeof names)[number], string>

/** All the ways in which it might be written. */
function faces(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const sum = createHash('sha256').update(bytes)
  return [secret, encodeURIComponent(secret), bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url'), bytes.toString('hex'), sum.digest('hex')]
}

type Command = { output: () => string; urls: Record<string, string>; child: ChildProcess }

async function start(t: TestContext, waitFor: readonly string[], args: readonly string[]): Promise<Command> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  const urls: Record<string, string> = {}
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(text)
    for (const [, name = '', url = ''] of text.matchAll(/"listening","name":"(\w+)","url":"([^"]+)"/g)) urls[name] = url
    return waitFor.every((name) => name in urls)
  })
  return { output: () => text, urls, child }
}

test('no secret is in any log, metric, table, status, usage, answer or file', { timeout: 200_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const authority = makeAuthority('ca')
  const served = authority.issue('models.example.com', ['models.example.com'])
  const backend = await httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('{}')) })
  const introspection = await httpUpstream(t, (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"active":false}'))
  mkdirSync(join(folder, 'manifests'))
  mkdirSync(join(folder, 'state'))
  writeFileSync(join(folder, 'manifests', 'all.yaml'), manifests(backend, await deadPort(), introspection, served))
  // What cannot be read must not be quoted either.
  writeFileSync(join(folder, 'manifests', 'broken.yaml'), `kind: Secret\nmetadata: {name: a}\nstringData: {key: ${secrets.typo}, ]\n`)
  writeFileSync(join(folder, 'pepper'), secrets.pepper)

  const common = ['--log-level', 'debug', '--host', '127.0.0.1']
  const controller = await start(t, ['push', 'control'], [
    'controller', '-f', join(folder, 'manifests'), '--push-port', '0', '--control-port', '0', '--pepper', join(folder, 'pepper'), ...common,
  ])
  const proxy = await start(t, ['http', 'admin', 'health'], [
    'dataplane', '--controller', controller.urls['push'] ?? '', '--http-port', '0', '--admin-port', '0', '--health-port', '0', '--portal',
    '--state-dir', join(folder, 'state'), '--pepper', join(folder, 'pepper'), '--audit', join(folder, 'audit'), '--drain-delay', '0s', ...common,
  ])
  const http = proxy.urls['http'] ?? ''
  let told = ''
  const ask = async (url: string, init: RequestInit = {}): Promise<number> => {
    const answer = await fetch(url, { redirect: 'manual', ...init })
    // What is sealed for the browser is no telling.
    told += `${answer.status} ${JSON.stringify([...answer.headers].filter(([name]) => name !== 'set-cookie'))} ${await answer.text()}\n`
    return answer.status
  }
  const infer = (path: string, headers: Record<string, string>) =>
    ask(`${http}${path}?k=${secrets.query}`, { method: 'POST', body: `{"prompt":"${secrets.prompt}"}`, headers: { cookie: `c=${secrets.cookie}`, 'x-secret': secrets.header, ...headers } })

  let status = 0
  do { status = await infer('/key', { 'x-api-key': secrets.key }) } while (status === 503 || status === 404)
  assert.equal(status, 200, told)
  for (const path of ['/key', '/jwt', '/introspect', '/query', '/dead', '/upstream', '/none', '/limited']) {
    for (const headers of [
      {}, { 'x-api-key': secrets.wrong }, { 'x-api-key': secrets.key }, { authorization: `Bearer ${secrets.bearer}` },
      { authorization: `Bearer ${token({ alg: 'HS256' })}` }, { authorization: `Bearer ${token({ alg: 'none', [secrets.claim]: 1 })}` },
      { authorization: `Basic ${Buffer.from(`user:${secrets.basic}`).toString('base64')}` }, { 'content-type': 'application/grpc', 'x-api-key': secrets.wrong },
    ]) await infer(path, headers)
  }
  for (const key of [secrets.form, secrets.key]) {
    const answer = await fetch(`${http}/portal/sign-in`, { method: 'POST', body: new URLSearchParams({ key }), redirect: 'manual' })
    told += await answer.text()
    await ask(`${http}/portal`, { headers: { cookie: (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '' } })
  }
  told += await raw(http, `GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: Bearer ${secrets.bearer}\r\n\r\n`)
  told += await raw(http, `GET /x?${secrets.query} HTTP/1.1\r\nHost: a\r\nX-Api-Key : ${secrets.key}\r\n\r\n`)
  await ask(`${proxy.urls['admin']}/explain`, { method: 'POST', body: JSON.stringify({ method: 'GET', url: `/key?k=${secrets.query}`, headers: { 'x-api-key': secrets.key, authorization: secrets.bearer } }) })
  for (const url of [
    ...['/metrics', '/table', '/usage'].map((path) => `${proxy.urls['admin']}${path}`), `${proxy.urls['health']}/metrics`,
    ...['/status', '/metrics'].map((path) => `${controller.urls['control']}${path}`),
  ]) assert.equal(await ask(url), 200, url)
  for (const { child } of [proxy, controller]) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  const check = spawn(process.execPath, [bin, 'check', '-f', join(folder, 'manifests')], { stdio: ['ignore', 'pipe', 'pipe'] })
  let checked = ''
  for (const stream of [check.stdout, check.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => { checked += chunk })
  await once(check, 'exit')

  const state = readdirSync(join(folder, 'state'))
  const sinks: Record<string, string> = {
    answers: told, controller: controller.output(), proxy: proxy.output(), check: checked, audit: readFileSync(join(folder, 'audit'), 'utf8'),
    ...Object.fromEntries(state.map((name) => [name, readFileSync(join(folder, 'state', name), 'latin1')])),
  }
  assert.ok(state.length > 0 && sinks['audit']?.includes('"outcome":"denied"') && sinks['audit'].includes('"consumer":"ann"'))
  assert.ok(sinks['proxy']?.includes('"msg":"request"') && checked.includes('broken.yaml') && told.includes('modelroute_requests_total'))
  const planted = [...Object.values(secrets).flatMap(faces), ...served.key.split('\n').filter((line) => line.length > 40)]
  for (const [sink, text] of Object.entries(sinks)) {
    for (const face of planted) {
      const at = text.indexOf(face)
      assert.equal(at, -1, `${sink}: …${text.slice(Math.max(0, at - 200), at + 80)}…`)
    }
  }
})

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const token = (head: object) => `${encode(head)}.${encode({ iss: 'https://issuer.example', sub: secrets.claim })}.${Buffer.from(secrets.bearer).toString('base64url')}`

async function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).setEncoding('latin1')
  let answer = ''
  socket.on('data', (chunk: string) => { answer += chunk })
  socket.on('error', () => {})
  socket.end(text)
  await once(socket, 'close')
  return answer
}

function manifests(backend: number, dead: number, introspection: number, { cert, key }: Readonly<{ cert: string; key: string }>): string {
  const secret = (name: string, data: Readonly<Record<string, string>>, labels = '', annotations = '') => `---
apiVersion: v1
kind: Secret
metadata: {name: ${name}, namespace: ml, labels: {${labels}}, annotations: {${annotations}}}
stringData: ${JSON.stringify(data)}
`
  const route = (name: string, rest: string, rule = '') => `---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}, namespace: ml}
spec:
  ${rest}
  rules:
  - name: infer
    matches: [{path: {value: /${name}}}]
    backendRefs: [{variant: stable, name: ${name === 'dead' ? 'dead' : 'model'}, port: 80${rule}}]
`
  const service = (name: string, port: number) => `---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ml}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}, namespace: ml, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]
`
  const apiKey = (where: string) => `auth: {anyOf: [{apiKey: {${where}, selector: {matchLabels: {team: a}}}}]}`
  return [
    route('key', apiKey('in: Header, name: x-api-key')), route('query', apiKey('in: Query, name: k')), route('dead', ''), route('limited', apiKey('in: Header, name: x-api-key')),
    route('jwt', 'auth: {anyOf: [{jwt: {issuer: "https://issuer.example", algorithms: [HS256], jwks: {secretRef: {name: jwks, key: keys}}}}]}'),
    route('introspect', `auth: {anyOf: [{introspection: {endpoint: "http://127.0.0.1:${introspection}/", clientSecretRef: {name: client}}}]}`),
    route('upstream', 'hostnames: [models.example.com]\n  tls: {certificateRefs: [{name: tls}]}', ', credentials: {secretRef: {name: upstream, key: token}, header: x-token}'),
    secret('ann', { key: secrets.key }, 'modelroute.io/credential: api-key, team: a', 'modelroute.io/consumer: ann'),
    secret('both', { key: secrets.body, keySha256: createHash('sha256').update(secrets.body).digest('hex') }, 'modelroute.io/credential: api-key, team: a', 'modelroute.io/consumer: x'),
    secret('jwks', { keys: JSON.stringify({ keys: [{ kty: 'oct', alg: 'HS256', k: Buffer.from(secrets.hmac).toString('base64url') }] }) }),
    secret('client', { client_id: 'gateway', client_secret: secrets.client }),
    secret('upstream', { token: secrets.upstream }), secret('tls', { 'tls.crt': cert, 'tls.key': key }),
    `---
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: tight, namespace: ml}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: limited}]
  limits: [{name: tight, counters: [{type: Header, name: x-api-key}, {type: Header, name: x-secret}], rate: {requests: 1, window: 1h}}]
`,
    service('model', backend), service('dead', dead),
  ].join('')
}

// Endpoints killed one after the other under load: nobody who may be served again sees it, and nobody else is served twice.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { adopt, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { freePorts } from '../free-ports.ts'

const kills = Number(process.env['KILLS'] ?? 1000)
const endpoints = 4
const workers = 8
const bin = join(import.meta.dirname, '../../cli/modelroute.js')

/** Writes down who asks before it answers, so that a kill loses nothing of it; listens once it is told to. */
const program = `
const [port, file] = process.argv.slice(1)
const { openSync, writeSync } = require('node:fs')
const log = openSync(file, 'a')
const server = require('node:http').createServer((request, response) => {
  writeSync(log, request.headers['x-id'] + '\\n')
  request.resume().once('end', () => setTimeout(() => response.end(request.headers['x-id']), 2 + Math.random() * 18))
})
const listen = () => server.listen(Number(port), '127.0.0.1')
server.on('error', () => setTimeout(listen, 1)).on('listening', () => process.stdout.write('up'))
process.stdin.once('data', listen)`

/** One address, whose process is killed and followed by one that is ready already. */
class Endpoint {
  readonly #arguments: readonly string[]
  #now: ChildProcess
  #next: ChildProcess

  constructor(port: number, file: string) {
    this.#arguments = ['-e', program, String(port), file]
    this.#now = this.#spawn()
    this.#next = this.#spawn()
  }

  #spawn(): ChildProcess {
    const child = spawn(process.execPath, this.#arguments, { stdio: ['pipe', 'pipe', 'inherit'] })
    adopt(child)
    return child
  }

  async start(): Promise<void> {
    assert.ok(this.#now.stdout && this.#now.stdin)
    const up = once(this.#now.stdout, 'data')
    this.#now.stdin.write('go')
    await up
  }

  /** It is away for as long as it takes the next to listen. */
  async kill(): Promise<void> {
    const dead = once(this.#now, 'exit')
    this.#now.kill('SIGKILL')
    await dead
    this.#now = this.#next
    this.#next = this.#spawn()
    await this.start()
  }

  end(): void {
    this.#now.kill('SIGKILL')
    this.#next.kill('SIGKILL')
  }
}

const manifests = (ports: readonly number[]) => `
apiVersion: v1
kind: Service
metadata: {name: one}
spec: {ports: [{port: 8000}]}
${ports.map((port) => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: one-${port}, labels: {kubernetes.io/service-name: one}}
addressType: IPv4
ports: [{port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]
`).join('')}---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: one}
spec:
  rules:
  - name: all
    backendRefs: [{variant: only, name: one, port: 8000}]
    retry: {attempts: 3, budgetPercent: 50, backoff: 5ms}
  - name: infer
    matches: [{path: {type: PathPrefix, value: /v2}}]
    backendRefs: [{variant: only, name: one, port: 8000}]
    retry: {attempts: 3, budgetPercent: 50, backoff: 5ms, idempotent: Inference}
`

async function gateway(t: TestContext, ports: readonly number[]): Promise<string> {
  const file = join(temporaryFolder('killed'), 'all.yaml')
  writeFileSync(file, manifests(ports))
  const free = ['--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--control-port', '0']
  const child = spawn(process.execPath, [bin, 'serve', '-f', file, ...free, '--log-level', 'warn'], { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(child)
  t.after(() => child.kill('SIGKILL'))
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout })
      .on('line', (line) => {
        const { msg, name, url } = JSON.parse(line) as { msg: string; name: string; url: string }
        if (msg === 'listening' && name === 'http') resolve(url)
      })
      .on('close', () => reject(new Error('the gateway ended')))
  })
}

const calls = [
  { name: 'GET', method: 'GET', path: '/x', headers: {}, body: '', idempotent: true },
  { name: 'POST with an Idempotency-Key', method: 'POST', path: '/x', headers: { 'idempotency-key': 'k' }, body: 'x', idempotent: true },
  { name: 'POST that infers', method: 'POST', path: '/v2/models/m/infer', headers: {}, body: '{"inputs":[]}', idempotent: true },
  { name: 'POST', method: 'POST', path: '/x', headers: {}, body: 'x', idempotent: false },
] as const

function ask(url: string, agent: Agent, { method, path, headers, body }: (typeof calls)[number], id: string): Promise<string> {
  return new Promise((resolve) => {
    const call = httpRequest(url + path, { agent, method, headers: { ...headers, 'x-id': id, ...(body && { 'content-length': body.length }) } }, (response) => {
      let text = ''
      response.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
      response.on('end', () => resolve(response.statusCode === 200 && text === id ? 'ok' : `${response.statusCode} ${String(response.headers['x-modelroute-error'])}`))
      response.on('error', (error) => resolve(error.message))
    })
    call.on('error', (error) => resolve(error.message)).end(body)
  })
}

test(`an endpoint of ${endpoints} is killed ${kills} times: 0 errors for what is idempotent, 0 repetitions of anything else`, { timeout: 400_000 }, async (t) => {
  const file = join(temporaryFolder('seen'), 'seen')
  closeSync(openSync(file, 'w'))
  const ports = await freePorts(endpoints)
  const all = ports.map((port) => new Endpoint(port, file))
  t.after(() => { for (const endpoint of all) endpoint.end() })
  await Promise.all(all.map((endpoint) => endpoint.start()))
  const url = await gateway(t, ports)
  const agent = new Agent({ keepAlive: true, maxSockets: workers })
  t.after(() => agent.destroy())

  await until('the table', async () => (await fetch(`${url}/x`, { headers: { 'x-id': 'first' } })).ok)

  const load = { over: false, sent: 0 }
  const answers = calls.map(() => new Map<string, number>())
  const work = async () => {
    while (!load.over) {
      const n = load.sent++
      const kind = n % calls.length
      const call = calls[kind]
      if (call === undefined) return
      const answer = await ask(url, agent, call, `${kind}-${n}`)
      answers[kind]?.set(answer, (answers[kind]?.get(answer) ?? 0) + 1)
    }
  }
  const working = Promise.all(Array.from({ length: workers }, work))
  for (let n = 0; n < kills; n++) {
    await all[n % all.length]?.kill()
    // Whoever met this one is served, or told, before the next.
    const from = load.sent
    await until('more requests', () => load.sent >= from + 2 * workers, { every: 1 })
  }
  load.over = true
  await working

  const seen = new Map<string, number>()
  for (const id of readFileSync(file, 'latin1').split('\n')) if (id !== '') seen.set(id, (seen.get(id) ?? 0) + 1)
  const twice = (kind: number) => [...seen].filter(([id, count]) => id.startsWith(`${kind}-`) && count > 1).length
  for (const [kind, { name }] of calls.entries()) {
    t.diagnostic(`${name}: ${[...answers[kind] ?? []].map(([answer, count]) => `${count} × ${answer}`).join(', ')}; ${twice(kind)} done twice`)
  }
  for (const [kind, { name, idempotent }] of calls.entries()) {
    if (idempotent) assert.deepEqual([...answers[kind]?.keys() ?? []], ['ok'], name)
    else assert.equal(twice(kind), 0, name)
  }
  // The kills did meet requests: a test in which nothing failed would prove nothing.
  assert.ok(twice(0) > 0 && (answers[3]?.size ?? 0) > 1)
})

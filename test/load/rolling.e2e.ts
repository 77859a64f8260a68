// Two proxies as processes, restarted in turn under load, as a Deployment would: each request is answered, and rightly.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { adopt, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { serviceAt } from '../manifests.ts'

/** At least; a fast machine goes on until there were restarts enough. */
const total = 100_000
const restartsAtLeast = 5
const workers = 24
const bin = join(import.meta.dirname, '../../cli/modelroute.js')

type Running = Readonly<{ urls: Record<string, string>; child: ChildProcess; ended: Promise<number | null> }>

async function run(names: readonly string[], ...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, [bin, ...args, '--log-level', 'warn'], { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(child)
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  const urls: Record<string, string> = {}
  const lines = createInterface({ input: child.stdout })
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      const { msg, name, url } = JSON.parse(line) as { msg: string; name: string; url: string }
      if (msg === 'listening') urls[name] = url
      if (names.every((each) => each in urls)) resolve()
    }).on('close', () => reject(new Error(`${args[0]} ended`)))
  })
  return { urls, child, ended }
}

/** Sends to those that say they are ready, as a Service does: it looks often, and hears of a change a little late. */
class Balancer {
  readonly #ready: { url: string; agent: Agent }[] = []
  #next = 0

  add(url: string): void {
    this.#ready.push({ url, agent: new Agent({ keepAlive: true, maxSockets: workers }) })
  }

  remove(url: string): void {
    this.#ready.splice(this.#ready.findIndex((one) => one.url === url), 1)
  }

  pick(): { url: string; agent: Agent } {
    const one = this.#ready[this.#next++ % this.#ready.length]
    assert.ok(one, 'one is ready at any time')
    return one
  }
}

function ask({ url, agent }: { url: string; agent: Agent }, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': Buffer.byteLength(body) }
    const call = httpRequest(`${url}/echo`, { agent, method: body === '' ? 'GET' : 'POST', headers: body === '' ? {} : headers }, (response) => {
      let text = ''
      response.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
      response.on('end', () => resolve(`${response.statusCode} ${text}`)).on('error', reject)
    })
    call.on('error', reject).end(body)
  })
}

async function setUp(t: TestContext) {
  const port = await httpUpstream(t, (request, response) => {
    if (request.url === '/stream') {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      let n = 0
      const timer = setInterval(() => {
        response.write(`data: ${++n}\n\n`)
        if (n < 300) return
        clearInterval(timer)
        response.end('data: [DONE]\n\n')
      }, 100)
      return
    }
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part)).on('end', () => response.end(Buffer.concat(parts)))
  })
  const file = join(temporaryFolder('rolling'), 'all.yaml')
  writeFileSync(file, `
${serviceAt('one', port)}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: one}
spec:
  rules:
  - name: all
    matches: [{path: {type: PathPrefix, value: /}}]
    backendRefs: [{variant: only, name: one, port: 8000}]
`)
  const controller = await run(['push'], 'controller', '-f', file, '--control-port', '0', '--push-port', '0')
  const stop: Running[] = [controller]
  t.after(() => { for (const { child } of stop) child.kill('SIGKILL') })
  const proxy = async () => {
    const ports = ['--http-port', '0', '--admin-port', '0', '--health-port', '0', '--drain-delay', '1s', '--drain-timeout', '60s']
    const one = await run(['http', 'health'], 'dataplane', '--controller', controller.urls['push'] ?? '', '--host', '127.0.0.1', ...ports)
    stop.push(one)
    await until('readiness', async () => (await fetch(`${one.urls['health']}/readyz`)).ok, { every: 20 })
    return one
  }
  return { proxy }
}

test(`two proxies restarted in turn: 0 of ${total} requests fail, and a stream of 30 s goes on to its end`, { timeout: 240_000 }, async (t) => {
  const { proxy } = await setUp(t)
  const balancer = new Balancer()
  const live: Running[] = []
  for (const one of [await proxy(), await proxy()]) {
    live.push(one)
    balancer.add(one.urls['http'] ?? '')
  }
  const failed: string[] = []
  const count = { sent: 0 }
  let restarts = 0
  const enough = () => count.sent >= total && restarts >= restartsAtLeast
  const bodies = ['', 'x', 'y'.repeat(1024), 'z'.repeat(100_000)]
  const work = async () => {
    while (!enough()) {
      const n = count.sent++
      // One in a hundred is large enough to be streamed.
      const body = n % 100 === 0 ? bodies[3] ?? '' : bodies[n % 3] ?? ''
      const answer = await ask(balancer.pick(), body).catch((error: unknown) => String(error))
      if (answer !== `200 ${body}`) failed.push(`${n}: ${answer.slice(0, 200)}`)
    }
  }
  const stream = fetch(`${live[0]?.urls['http']}/stream`).then((response) => response.text())
  const load = Promise.all(Array.from({ length: workers }, work))
  const ends: Promise<number | null>[] = []
  while (!enough()) {
    const fresh = await proxy()
    const [old] = live.splice(0, 1, ...live.splice(1), fresh)
    assert.ok(old)
    balancer.add(fresh.urls['http'] ?? '')
    old.child.kill('SIGTERM')
    ends.push(old.ended)
    await until('it to say that it is not ready', async () => !(await fetch(`${old.urls['health']}/readyz`)).ok, { every: 20 })
    // Whoever balances hears of it later than that.
    await sleep(200)
    balancer.remove(old.urls['http'] ?? '')
    restarts++
    await Promise.race([load, sleep(4000)])
  }
  await load
  assert.match(await stream, /data: 300\n\ndata: \[DONE\]\n\n$/)
  for (const { child, ended } of live) {
    child.kill('SIGTERM')
    ends.push(ended)
  }
  assert.deepEqual(new Set(await Promise.all(ends)), new Set([0]))
  t.diagnostic(`${count.sent} requests over ${restarts} restarts, ${failed.length} failed`)
  assert.deepEqual(failed.slice(0, 10), [])
})

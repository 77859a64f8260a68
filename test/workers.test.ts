import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type TestContext } from 'node:test'
import { httpUpstream } from './dataplane/sockets.ts'
import { serviceAt } from './manifests.ts'

/** `--workers`: several processes on one port, as users run them. */

const bin = join(import.meta.dirname, '../cli/modelroute.js')

type Line = Readonly<Record<string, string | number | undefined>>
type Running = { urls: Record<string, string>; lines: Line[]; child: ChildProcess; ended: Promise<number | null> }

async function run(t: TestContext, names: readonly string[], ...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const running: Running = { urls: {}, lines: [], child, ended }
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as Line
      running.lines.push(line)
      if (line['msg'] === 'listening') running.urls[String(line['name'])] = String(line['url'])
      if (names.every((name) => name in running.urls)) resolve()
    }).on('close', () => reject(new Error(`ended:\n${JSON.stringify(running.lines)}`)))
  })
  return running
}

async function until(what: string, look: () => Promise<boolean> | boolean, ms = 60_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await Promise.resolve().then(look).catch(() => false))) {
    if (Date.now() > deadline) assert.fail(`waited ${ms} ms for ${what}`)
    await sleep(10)
  }
}

/** Each on a connection of its own, so that the workers take turns; what they shed on a machine with too much to do is asked again. */
async function ask(url: string, path = '/x'): Promise<{ status: number; text: string; variant: string | null }> {
  const response = await fetch(url + path, { headers: { connection: 'close' }, signal: AbortSignal.timeout(60_000) })
  if (response.headers.get('x-modelroute-error') === 'overloaded') return ask(url, path)
  return { status: response.status, text: await response.text(), variant: response.headers.get('x-modelroute-variant') }
}

const manifests = (port: number, variant: string) => `
${serviceAt('one', port)}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: one}
spec:
  rules:
  - name: all
    backendRefs: [{variant: ${variant}, name: one, port: 8000}]
  - name: kept
    matches: [{path: {type: PathPrefix, value: /kept}}]
    backendRefs: [{variant: ${variant}, name: one, port: 8000}]
    cache: {ttl: 5m, scope: Shared, tags: [some]}
`

async function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-workers-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const held: (() => void)[] = []
  const port = await httpUpstream(t, (request, response) => {
    if (request.url === '/slow') held.push(() => response.end('slow'))
    else response.end('ok')
  })
  const file = join(folder, 'all.yaml')
  const write = (variant: string) => writeFileSync(file, manifests(port, variant))
  write('a')
  return { folder, file, write, held }
}

const metricsOf = async ({ urls }: Running) => (await fetch(`${urls['admin']}/metrics`)).text()
const countOf = async (running: Running) =>
  [...(await metricsOf(running)).matchAll(/^modelroute_requests_total\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0)

/** The pids of the workers, by asking the kernel for the children. */
function pidsOf({ child }: Running): number[] {
  return readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ').filter((pid) => pid !== '').map(Number)
}

const linux = process.platform === 'linux' ? false : 'reads /proc'

test('workers share a port and a table: one line for each port, an edit is everywhere once it is programmed, metrics are summed, and the end is clean', { timeout: 200_000, skip: linux }, async (t) => {
  const { file, write, held } = await setUp(t)
  const one = await run(t, ['http', 'admin', 'control'], 'serve', '-f', file, '--workers', '3', '--host', '127.0.0.1',
    '--http-port', '0', '--admin-port', '0', '--control-port', '0')
  const { http = '', admin = '', control = '' } = one.urls
  assert.equal(one.lines.filter(({ msg, name }) => msg === 'listening' && name === 'http').length, 1)
  await until('readiness', async () => (await fetch(`${admin}/readyz`)).ok)
  const pids = pidsOf(one)
  assert.equal(pids.length, 3)

  // Ready means that each of them serves.
  for (let n = 0; n < 30; n++) assert.deepEqual(await ask(http), { status: 200, text: 'ok', variant: 'a' })
  assert.equal(await countOf(one), 30)
  await until('the log', () => one.lines.filter(({ msg }) => msg === 'request').length === 30)
  assert.match(await metricsOf(one), /^modelroute_table_version_info\{version="[0-9a-f]+"\} 1$/m)
  assert.match(await metricsOf(one), /^modelroute_request_duration_seconds_count\{route="default\/one".*\} 30$/m)

  // Each has answers of its own, and all of them forget.
  const kept = async () => (await fetch(`${http}/kept`, { headers: { connection: 'close' } })).headers.get('x-modelroute-cache')
  const purge = async () => (await fetch(`${admin}/cache?tag=some`, { method: 'DELETE' })).json()
  for (const by of ['miss', 'hit']) for (let n = 0; n < 3; n++) assert.equal(await kept(), by)
  assert.deepEqual(await purge(), { rules: 1, answers: 3 })
  for (let n = 0; n < 3; n++) assert.equal(await kept(), 'miss')

  type Status = { items: [{ status: { observedGeneration: number; conditions: { type: string; status: string; observedGeneration: number }[] } }] }
  const programmed = async () => {
    const { items: [{ status }] } = await (await fetch(`${control}/status`)).json() as Status
    const condition = status.conditions.find(({ type }) => type === 'Programmed')
    return condition?.status === 'True' ? condition.observedGeneration : undefined
  }
  const before = await programmed()
  write('b')
  await until('the edit', async () => ![undefined, before].includes(await programmed()))
  // Not one of them is behind.
  for (let n = 0; n < 12; n++) assert.equal((await ask(http)).variant, 'b')

  const slow = ask(http, '/slow')
  await until('it to be under way', () => held.length === 1)
  one.child.kill('SIGTERM')
  await until('it to know', () => fetch(`${admin}/readyz`).then(({ ok }) => !ok, () => true))
  held[0]?.()
  assert.equal((await slow).text, 'slow')
  assert.equal(await one.ended, 0)
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), 'no worker is left')
})

test('a worker that is killed is replaced and serves the table; its siblings serve meanwhile, and the primary takes all with it', { timeout: 200_000, skip: linux }, async (t) => {
  const { folder, file } = await setUp(t)
  const controller = await run(t, ['push'], 'controller', '-f', file, '--push-port', '0', '--control-port', '0')
  const proxy = await run(t, ['http', 'admin', 'health'], 'dataplane', '--controller', controller.urls['push'] ?? '', '--workers', '2',
    '--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--health-port', '0', '--state-dir', folder)
  const { http = '', health = '' } = proxy.urls
  await until('readiness', async () => (await fetch(`${health}/readyz`)).ok)
  for (let n = 0; n < 4; n++) assert.equal((await ask(http)).status, 200)
  // A replacement gets its table from the primary, whoever else is there.
  controller.child.kill('SIGKILL')
  await controller.ended
  const [victim = 0, other = 0] = pidsOf(proxy)
  process.kill(victim, 'SIGKILL')
  await until('a replacement', async () => {
    const now = pidsOf(proxy)
    return now.length === 2 && !now.includes(victim) && now.includes(other)
  })
  assert.equal((await fetch(`${health}/readyz`)).status, 200)
  for (let n = 0; n < 20; n++) assert.equal((await ask(http)).status, 200)
  assert.ok(proxy.lines.some(({ msg }) => msg === 'a worker ended; another takes its place'))
  const pids = pidsOf(proxy)
  proxy.child.kill('SIGKILL')
  await proxy.ended
  for (const pid of pids) {
    await until('the workers to end with it', () => {
      try {
        process.kill(pid, 0)
        return false
      } catch {
        return true
      }
    })
  }
})

test('a port that is taken ends it with one message, and no worker is left', { timeout: 200_000, skip: linux }, async (t) => {
  const { file } = await setUp(t)
  const taken = await httpUpstream(t, (_request, response) => response.end())
  const child = spawn(process.execPath, [bin, 'serve', '-f', file, '--workers', '2', '--host', '127.0.0.1', '--http-port', String(taken),
    '--admin-port', '0', '--control-port', '0'], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said += text })
  const [code] = await once(child, 'close') as [number | null]
  assert.equal(code, 1)
  assert.match(said, /port \d+ on 127\.0\.0\.1 is taken \(EADDRINUSE\): .* --http-port;/)
})

test('a limit is one for all workers, and so is what is told of who used how much', { timeout: 200_000, skip: linux }, async (t) => {
  const { file, folder } = await setUp(t)
  writeFileSync(join(folder, 'limit.yaml'), `
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: few}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: one}]
  limits:
  - name: daily
    counters: [{type: SourceIP}]
    rate: {requests: 10, window: 24h}
`)
  const one = await run(t, ['http', 'admin'], 'serve', '-f', file, '-f', join(folder, 'limit.yaml'), '--workers', '3', '--host', '127.0.0.1',
    '--http-port', '0', '--admin-port', '0', '--control-port', '0')
  await until('readiness', async () => (await fetch(`${one.urls['admin']}/readyz`)).ok)
  const statuses = await Promise.all(Array.from({ length: 24 }, async () => (await ask(one.urls['http'] ?? '')).status))
  assert.deepEqual([200, 429].map((status) => statuses.filter((each) => each === status).length), [10, 14])
  assert.match(await metricsOf(one), /^modelroute_ratelimit_decisions_total\{.*decision="rejected".*\} 14$/m)
  const usage = JSON.stringify(await (await fetch(`${one.urls['admin']}/usage`)).json())
  assert.match(usage, /"address":"127\.0\.0\.1","requests":10/)
  assert.match(usage, /"remaining":0/)
})

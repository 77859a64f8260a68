import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type TestContext } from 'node:test'
import { startModelServer } from '../examples/quickstart/server.ts'
import { serviceAt } from './manifests.ts'

/** The commands as processes of their own, over files: what one process cannot show about restarts, kills and the end. */

const bin = join(import.meta.dirname, '../cli/modelroute.js')
const question = JSON.stringify({ inputs: [{ name: 'amount', datatype: 'FP32', shape: [1], data: [120] }] })

type Running = { urls: Record<string, string>; lines: string[]; child: ChildProcess; ended: Promise<number | null> }

/** Starts a command, and resolves when it listens under each of the names. */
async function run(t: TestContext, names: readonly string[], ...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const running: Running = { urls: {}, lines: [], child, ended }
  const { promise, resolve, reject } = Promise.withResolvers<Running>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    running.lines.push(line)
    if (!line.includes('"listening"')) return
    const { name, url } = JSON.parse(line) as { name: string; url: string }
    running.urls[name] = url
    if (names.every((each) => each in running.urls)) resolve(running)
  }).on('close', () => reject(new Error(`ended before it listened:\n${running.lines.join('\n')}`)))
  return promise
}

async function until(what: string, look: () => Promise<boolean> | boolean, ms = 60_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await Promise.resolve(look()).catch(() => false))) {
    if (Date.now() > deadline) assert.fail(`waited ${ms} ms for ${what}`)
    await sleep(10)
  }
}

const ask = async (url: string, path = '/v2/models/fraud/infer') => {
  const response = await fetch(url + path, { method: 'POST', body: question, signal: AbortSignal.timeout(60_000) })
  return { status: response.status, variant: response.headers.get('x-modelroute-variant'), text: await response.text() }
}

const service = (name: string, url: string) => `
${serviceAt(name, new URL(url).port)}
---
`
const route = (stable: number, canary: number, path = '/v2/models/fraud', type = 'PathPrefix') => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud}
spec:
  rules:
  - name: infer
    matches: [{path: {type: ${type}, value: "${path}"}}]
    backendRefs:
    - {variant: stable, name: one, port: 8000, weight: ${stable}}
    - {variant: canary, name: two, port: 8000, weight: ${canary}}
`

async function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-processes-'))
  const servers = await Promise.all((['1', '2'] as const).map((version) => startModelServer({ version, port: 0, host: '127.0.0.1' })))
  t.after(async () => {
    await Promise.all(servers.map((server) => server.close()))
    rmSync(folder, { recursive: true, force: true })
  })
  const file = join(folder, 'all.yaml')
  const backends = service('one', servers[0]!.url) + service('two', servers[1]!.url)
  const edit = (text: string) => writeFileSync(file, backends + text)
  return { folder, file, edit }
}

const serveArgs = (file: string, ...more: string[]) =>
  ['serve', '-f', file, '--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--control-port', '0', ...more]

test('an edit that breaks a rule leaves its last good version in force, also over a restart of serve', async (t) => {
  const { folder, file, edit } = await setUp(t)
  const args = serveArgs(file, '--state-dir', join(folder, 'state'))
  edit(route(0, 100))
  const first = await run(t, ['http', 'control'], ...args)
  await until('the route', async () => (await ask(first.urls['http']!)).variant === 'canary')
  edit(route(0, 100, '/v2/(models', 'RegularExpression'))
  const told = () => first.lines.find((line) => line.includes('manifest refused'))
  await until('the refusal in the log', () => told() !== undefined)
  assert.match(told()!, /"file":"[^"]*all\.yaml","line":\d+.*"field":"spec\.rules\[0\]\.matches\[0\]\.path/)
  assert.equal((await ask(first.urls['http']!)).variant, 'canary')
  first.child.kill('SIGTERM')
  assert.equal(await first.ended, 0)

  const second = await run(t, ['http', 'control'], ...args)
  await until('the last good version', async () => (await ask(second.urls['http']!)).variant === 'canary')
  type Status = { items: { status: { conditions: { type: string; status: string }[] } }[] }
  const { items } = (await (await fetch(`${second.urls['control']}/status`)).json()) as Status
  const conditions = new Map(items[0]!.status.conditions.map(({ type, status }) => [type, status]))
  assert.equal(conditions.get('Accepted'), 'False')
})

test('the log of serve tells what was read, and what of it an edit changes', async (t) => {
  const { file, edit } = await setUp(t)
  edit(route(100, 0))
  const { lines } = await run(t, ['http'], ...serveArgs(file))
  const told = (what: RegExp) => until(String(what), () => lines.some((line) => what.test(line)))
  await told(/"level":"info","msg":"manifests accepted","routes":1,"policies":0}/)
  edit(route(0, 100))
  await told(/"msg":"manifest accepted","kind":"ModelRoute","namespace":"default","name":"fraud","file":"[^"]*all\.yaml","line":\d+,/)
  edit('')
  await told(/"msg":"manifest gone","kind":"ModelRoute","namespace":"default","name":"fraud"}/)
  assert.equal(lines.filter((line) => /"msg":"manifests? (accepted|gone)"/.test(line)).length, 3)
})

test('a controller over files feeds two proxies; both follow an edit, and outlive its end, one of them over a restart', async (t) => {
  const { folder, file, edit } = await setUp(t)
  edit(route(100, 0))
  const controllerArgs = ['controller', '-f', file, '--control-port', '0']
  const controller = await run(t, ['push', 'control'], ...controllerArgs, '--push-port', '0')
  const port = new URL(controller.urls['push']!).port
  const proxy = (state: string) => run(
    t, ['http', 'health'], 'dataplane', '--controller', controller.urls['push']!, '--host', '127.0.0.1',
    '--http-port', '0', '--admin-port', '0', '--health-port', '0', '--drain-delay', '0s', '--state-dir', join(folder, state),
  )
  const proxies = await Promise.all([proxy('a'), proxy('b')])
  for (const { urls } of proxies) {
    await until('readiness', async () => (await fetch(`${urls['health']}/readyz`)).ok)
    assert.equal((await ask(urls['http']!)).variant, 'stable')
  }
  edit(route(0, 100))
  for (const { urls } of proxies) await until('the edit', async () => (await ask(urls['http']!)).variant === 'canary')
  type Status = { items: { status: { dataPlane: { programmed: number; total: number } } }[] }
  await until('both acknowledgements', async () => {
    const { items } = (await (await fetch(`${controller.urls['control']}/status`)).json()) as Status
    const { programmed, total } = items[0]!.status.dataPlane
    return programmed === 2 && total === 2
  })

  controller.child.kill('SIGKILL')
  await controller.ended
  for (const { urls } of proxies) assert.equal((await ask(urls['http']!)).variant, 'canary')
  proxies[0].child.kill('SIGTERM')
  assert.equal(await proxies[0].ended, 0)
  const again = await proxy('a')
  await until('readiness from disk', async () => (await fetch(`${again.urls['health']}/readyz`)).ok)
  assert.equal((await ask(again.urls['http']!)).variant, 'canary')

  edit(route(100, 0))
  await run(t, ['push'], ...controllerArgs, '--push-port', port)
  for (const { urls } of [again, proxies[1]]) await until('the new controller', async () => (await ask(urls['http']!)).variant === 'stable')
})

test('SIGTERM finishes what is in flight and exits 0', async (t) => {
  const { file, edit } = await setUp(t)
  edit(route(100, 0))
  const { urls, child, ended } = await run(t, ['http', 'admin'], ...serveArgs(file))
  await until('the route', async () => (await ask(urls['http']!)).status === 200)
  // A body that ends only after the signal.
  let finish = () => {}
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.from(question.slice(0, 10)))
      finish = () => {
        controller.enqueue(Buffer.from(question.slice(10)))
        controller.close()
      }
    },
  })
  const answer = fetch(`${urls['http']}/v2/models/fraud/infer`, { method: 'POST', body, duplex: 'half' })
  await until('it to be in flight', async () =>
    /modelroute_inflight_requests\{[^}]*\} 1/.test(await (await fetch(`${urls['admin'] ?? ''}/metrics`)).text()))
  child.kill('SIGTERM')
  await until('no new connection', () => fetch(urls['http']!).then(() => false, () => true))
  finish()
  assert.equal((await answer).status, 200)
  assert.equal(await ended, 0)
})

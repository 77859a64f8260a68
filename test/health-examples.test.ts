import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import { testProxy } from './dataplane/proxy.ts'
import { eventually, httpUpstream } from './dataplane/sockets.ts'
import { serviceAt } from './manifests.ts'

const folder = join(import.meta.dirname, '../examples/health')
const service = `apiVersion: v1\nkind: Service\nmetadata: {name: triton, namespace: ml}\nspec: {ports: [{port: 8000}]}`

/** The table of an example, with its model server on this port; undefined: it has no endpoint. */
async function tableOf(t: TestContext, example: string, port: number | undefined) {
  const dir = await mkdtemp(join(tmpdir(), 'modelroute-health-'))
  t.after(() => rm(dir, { recursive: true }))
  await writeFile(join(dir, 'all.yaml'), `${readFileSync(join(folder, example), 'utf8')}\n---\n${port === undefined ? service : serviceAt('triton', port, 'ml')}`)
  const { snapshot, problems } = await readManifests([dir])
  const { fleets, routes } = createCompiler({ allowUrls: [], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
  assert.deepEqual([...problems, ...[...routes.values()].flatMap((route) => route.problems)], [])
  const fleet = fleets.get('default')
  assert.ok(fleet)
  return { version: `${port}`, ...fleet }
}

async function serve(t: TestContext, example: string, listener: RequestListener) {
  return testProxy(t, await tableOf(t, example, await httpUpstream(t, listener)))
}

const ask = async (url: string) => {
  const answer = await fetch(`${url}/v2/models/fraud/infer`, { method: 'POST', body: '{}' })
  return `${answer.headers.get('x-modelroute-variant')} ${answer.headers.get('x-modelroute-error') ?? answer.status}`
}
const askOften = (url: string, count: number) => Promise.all(Array.from({ length: count }, () => ask(url)))
const times = (answers: readonly string[], wanted: string) => answers.filter((answer) => answer === wanted).length

test('models.yaml: a canary whose version is not loaded gets nothing, and its share when it is', { timeout: 120_000 }, async (t) => {
  let loaded = false
  const proxy = await serve(t, 'models.yaml', (request, response) => {
    response.writeHead(request.url === '/v2/models/fraud/versions/2/ready' && !loaded ? 400 : 200).end('{}')
  })
  const before = await askOften(proxy.url, 20)
  assert.deepEqual([times(before, 'stable 200'), times(before, 'canary no_endpoints')], [18, 2])
  loaded = true
  await eventually(() => proxy.text().includes('"an endpoint is healthy"'))
  const after = await askOften(proxy.url, 20)
  assert.deepEqual([times(after, 'stable 200'), times(after, 'canary 200')], [18, 2])
})

test('replicas.yaml: what the model cannot take waits or is refused, and what fails too often is left alone', { timeout: 120_000 }, async (t) => {
  const waiting: (() => void)[] = []
  let broken = false
  const proxy = await serve(t, 'replicas.yaml', (_request, response) => {
    if (broken) response.writeHead(500).end()
    else waiting.push(() => response.end('{}'))
  })
  const all = askOften(proxy.url, 200)
  await eventually(() => proxy.lines().length === 8 && waiting.length === 64)
  let answered = false
  const emptied = all.finally(() => { answered = true })
  await eventually(() => {
    waiting.shift()?.()
    return answered
  })
  const answers = await emptied
  assert.deepEqual([times(answers, 'stable 200'), times(answers, 'stable overloaded')], [192, 8])
  broken = true
  await eventually(() => true)
  let last = ''
  while (last !== 'stable circuit_open') last = await ask(proxy.url)
})

test('asleep.yaml: requests wait until there is an endpoint', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, await tableOf(t, 'asleep.yaml', undefined))
  const held = askOften(proxy.url, 10)
  const waiting = async () => (await fetch(`${proxy.urls.admin}/metrics`)).text()
  while (!/modelroute_waiting_requests\{[^}]*for="endpoint"\} 10\n/.test(await waiting())) await new Promise((resolve) => { setTimeout(resolve, 5) })
  const port = await httpUpstream(t, (_request, response) => response.end('{}'))
  proxy.activate(await tableOf(t, 'asleep.yaml', port))
  assert.equal(times(await held, 'stable 200'), 10)
})

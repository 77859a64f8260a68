import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test, type TestContext } from 'node:test'
import { adopt, temporaryFolder } from '../cluster/process.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { algorithms } from './takers.ts'
import { patient, startRedis, until, type Server } from './servers.ts'

/** The whole way: three proxies as processes, fed by a controller, with 200 connections each. */
const connections = 200
const tries = 2000
const bin = join(import.meta.dirname, '../../cli/modelroute.js')

async function run(t: TestContext, name: string, ...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [bin, ...args, '--log-level', 'error'], { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(child)
  const lines = createInterface({ input: child.stdout })
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return new Promise<string>((resolve, reject) => {
    lines.on('line', (line) => {
      const said = JSON.parse(line) as { msg: string; name: string; url: string }
      if (said.msg === 'listening' && said.name === name) resolve(said.url)
    }).once('close', () => reject(new Error(`${args[0]} ended`)))
  })
}

function ask(url: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: { authorization: 'Bearer k-1' } }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0)).once('error', reject)
    }).once('error', reject).end()
  })
}

/** Asks over all connections at once until so many were asked; by status. */
async function drain(url: string): Promise<Map<number, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const by = new Map<number, number>()
  let left = tries
  await Promise.all(Array.from({ length: connections }, async () => {
    while (left-- > 0) {
      const status = await ask(url, agent)
      by.set(status, (by.get(status) ?? 0) + 1)
    }
  }))
  agent.destroy()
  return by
}

const limitOf = (type: string, window: string) => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${type.toLowerCase()}}
spec:
  auth: {anyOf: [{apiKey: {in: Bearer}}]}
  rules:
  - name: all
    matches: [{path: {type: PathPrefix, value: /${type}}}]
    backendRefs: [{variant: only, kind: URL, url: BACKEND}]
---
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: ${type.toLowerCase()}}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: ${type.toLowerCase()}}]
  limits:
  - name: thousand
    counters: [{type: Principal}]
    algorithm: ${type}
    onStoreFailure: Deny
    rate: {requests: 1000, ${window}}
---`

const key = `
apiVersion: v1
kind: Secret
metadata: {name: one, labels: {modelroute.io/credential: api-key}, annotations: {modelroute.io/consumer: one}}
stringData: {key: k-1}
`

describe('three proxies over one Redis', () => {
  let redis: Server
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.end())

  test('admit 1,000 of a limit of 1,000 between them, whichever way it counts', async (t) => {
    const backend = await httpUpstream(t, (_, response) => response.end('served'))
    const windowed = algorithms.map(({ type }) => type).filter((type) => type !== 'Concurrency')
    const file = join(temporaryFolder('limits'), 'all.yaml')
    const manifests = windowed.map((type) => limitOf(type, 'window: 24h')).join('') + key
    writeFileSync(file, manifests.replaceAll('BACKEND', `http://127.0.0.1:${backend}`))
    const controller = await run(t, 'push', 'controller', '-f', file, '--control-port', '0', '--push-port', '0')
    const proxies = await Promise.all([1, 2, 3].map(() => run(
      t, 'http', 'dataplane', '--controller', controller, '--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0',
      '--health-port', '0', '--snapshot', 'none', '--redis', patient(redis.url),
    )))
    for (const url of proxies) await until(async () => await ask(`${url}/none`, new Agent()) === 404)
    for (const type of windowed) {
      const came = await Promise.all(proxies.map((url) => drain(`${url}/${type}`)))
      const sum = (status: number) => came.reduce((all, by) => all + (by.get(status) ?? 0), 0)
      // Who was admitted counts as that, also where a machine without a free core did not bring them to the backend in time.
      assert.deepEqual([sum(200) + sum(504), sum(429)], [1000, 3 * tries - 1000], `${type}: ${JSON.stringify(came.map((by) => [...by]))}`)
    }
  })
})

// What OpenAI's own library makes of a limit: it waits as it is told, and does not come again where that is of no use.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { startServing, type Served } from '../../cli/serve.ts'
import { temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { inTime, watchMachine } from '../machine.ts'
import { ensureOpenai } from './openai.ts'

const run = promisify(execFile)

const manifests = (port: number, limit: string) => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  rules:
  - name: chat
    matches: [{path: {type: PathPrefix, value: /v1}}]
    backendRefs: [{variant: only, kind: URL, url: 'http://127.0.0.1:${port}'}]
---
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: chat}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: chat}]
  limits: [${limit}]
`

suite('limits and the openai library', () => {
  let gateway: Served
  let openai: string
  let file: string
  let seen = 0
  const backend = createServer((request, response) => {
    seen++
    request.resume()
    const usage = request.method === 'POST' ? { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 } : undefined
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ id: 'x', object: 'chat.completion', model: 'tiny', choices: [{ index: 0, message: { role: 'assistant', content: 'hi' } }], usage }))
  })
  const port = () => (backend.address() as AddressInfo).port

  before(async () => {
    backend.listen(0, '127.0.0.1')
    await once(backend, 'listening')
    openai = await ensureOpenai()
    file = join(temporaryFolder('limits'), 'all.yaml')
    writeFileSync(file, manifests(port(), '{name: none, rate: {requests: 0, window: 1m}}'))
    gateway = await startServing({
      filename: [file], host: '127.0.0.1', adminHost: '127.0.0.1', httpPort: 0, adminPort: 0, controlPort: 0,
      drainDelay: 0, drainTimeout: 10_000, logLevel: 'error',
    })
    await gateway.started
  })
  after(async () => {
    await gateway?.end()
    backend.close()
    backend.closeAllConnections()
  })

  async function limited(limit: string, times: number): Promise<{ end: string; ms: number }[]> {
    const name = /name: ([^,]*)/.exec(limit)?.[1] ?? ''
    writeFileSync(file, manifests(port(), limit))
    await until('the policy', async () => (await fetch(`${gateway.url}/v1/models`)).headers.get('ratelimit-policy')?.includes(`"${name}"`) === true)
    seen = 0
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'sdk/limited.mjs'), openai, `${gateway.url}/v1`, String(times)], { timeout: 60_000 })
    return stdout.trim().split('\n').map((line) => JSON.parse(line) as { end: string; ms: number })
  }

  test('waits until the bucket has refilled, and is then served', { timeout: 60_000 }, async () => {
    // Three at most before the first wait; then one comes every two seconds.
    const calls = await limited('{name: bucket, algorithm: TokenBucket, rate: {requests: 1, window: 2s, burst: 2}}', 5)
    assert.deepEqual(calls.map(({ end }) => end), Array.from({ length: 5 }, () => 'served'))
    const slow = calls.filter(({ ms }) => ms >= 900)
    assert.ok(slow.length >= 2 , JSON.stringify(calls))
    assert.equal(seen, 5)
  })

  test('does not try again in vain where the wait is long', { timeout: 120_000 }, async (t) => {
    const machine = watchMachine()
    const [first, second, third] = await limited('{name: daily, rate: {tokens: 60, window: 24h}}', 3)
    assert.equal(first?.end, 'served')
    assert.equal(second?.end, 'served')
    assert.equal(third?.end, 'RateLimitError 429 quota_exhausted rate_limit_error')
    // Its own retries begin after half a second.
    inTime(t, 'the third', third?.ms ?? 0, 400, machine())
  })
})

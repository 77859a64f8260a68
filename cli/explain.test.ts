import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const bin = fileURLToPath(new URL('./modelroute.js', import.meta.url))
const quickstart = fileURLToPath(new URL('../examples/quickstart', import.meta.url))

async function run(...words: string[]) {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [bin, 'explain', ...words])
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout, stderr }
  }
}

test('explain says which rule and variant a request meets', async () => {
  const told = await run('-f', quickstart, 'post', '/v2/models/fraud/infer', '-H', 'X-Canary: always', '-d', '{}', '-o', 'json')
  const { route, rule, variant, code } = JSON.parse(told.stdout) as Record<string, unknown>
  assert.deepEqual([told.code, route, rule, variant, code], [0, 'ml/fraud', 'infer', 'canary', undefined])
  const missed = await run('-f', quickstart, 'GET', '/v3')
  assert.match(missed.stdout, /^code {6}no_route$/m)
  assert.match(missed.stdout, /ml\/fraud infer: the path is not Prefix \/v2\/models\/fraud/)
})

test('explain without what it needs says so', async () => {
  assert.deepEqual(await run('GET', '/'), { code: 2, stdout: '', stderr: 'modelroute explain: -f PATH is required, or --admin URL of a running proxy\n' })
  assert.match((await run('-f', quickstart, 'GET')).stderr, /URL is missing: modelroute explain METHOD URL/)
  assert.match((await run('-f', quickstart, 'GET', '/', 'more')).stderr, /unexpected argument more/)
  assert.match((await run('-f', quickstart, 'GET', '/', '-H', 'none')).stderr, /must be 'NAME: VALUE'/)
})

test('explain knows keys, permissions and limits as the gateway does', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'explain-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'all.yaml')
  await writeFile(file, `apiVersion: v1
kind: Secret
metadata:
  name: ann
  namespace: ml
  labels: {modelroute.io/credential: api-key}
  annotations: {modelroute.io/consumer: ann, modelroute.io/tier: free}
stringData: {key: k-ann}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  auth: {anyOf: [{apiKey: {in: Header, name: x-api-key}}]}
  authorization: {allow: [{tiers: [free]}]}
  rules:
  - name: infer
    backendRefs: [{variant: stable, kind: URL, url: "http://127.0.0.1:1"}]
---
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: tiers, namespace: ml}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: fraud}]
  limits: [{name: daily, counters: [{type: Principal}], rate: {requests: 3, window: 24h}}]
`)
  const verdict = async (...words: string[]) => {
    const { stdout } = await run('-f', file, 'GET', '/', '-o', 'json', ...words)
    const { code, variant, steps } = JSON.parse(stdout) as { code?: string; variant?: string; steps: { filter: string; why: string }[] }
    return [code ?? variant, steps.find(({ filter }) => filter === 'rate_limit')?.why]
  }
  assert.deepEqual(await verdict('-H', 'x-api-key: k-ann'), ['stable', 'ml/tiers daily: 3 of 3 left'])
  assert.deepEqual(await verdict('--as', 'ann'), ['stable', 'ml/tiers daily: 3 of 3 left'])
  assert.deepEqual(await verdict('-H', 'x-api-key: other'), ['unauthenticated', undefined])
  assert.deepEqual(await verdict('--as', 'bob'), ['forbidden', undefined])
})

test('explain says what of the manifests it had to do without', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'explain-'))
  t.after(() => rm(folder, { recursive: true }))
  const absent = join(folder, 'absent.yaml')
  assert.deepEqual(await run('-f', absent, 'GET', '/'), { code: 1, stdout: '', stderr: `modelroute: ${absent}: no such file or folder\n` })

  const file = join(folder, 'route.yaml')
  const route = (weight: string, backend: string) => `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
  - name: infer
    backendRefs: [{variant: stable, ${backend}, ${weight}: 1}]
`
  await writeFile(file, route('wieght', 'kind: URL, url: "http://127.0.0.1:1"'))
  const broken = await run('-f', file, 'GET', '/')
  assert.equal(broken.stderr, `${file}:7 ModelRoute/ml/fraud spec.rules[0].backendRefs[0].wieght Invalid: unknown field; did you mean weight?\n`)
  assert.match(broken.stdout, /^code {6}no_route$/m)

  const elsewhere = await run('-f', quickstart, 'GET', '/v2/models/fraud', '--gateway', 'edge')
  assert.equal(elsewhere.stderr, 'no route is for the gateway edge, only for default\n')

  // A Service that only the cluster has is what the explanation itself tells of.
  await writeFile(file, route('weight', 'name: fraud, port: 8000'))
  const missing = await run('-f', file, 'GET', '/')
  assert.deepEqual([missing.stderr, /^code {6}backend_unresolved$/m.exec(missing.stdout)?.[0]], ['', 'code      backend_unresolved'])
})

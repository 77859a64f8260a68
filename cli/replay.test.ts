import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import type { Options } from './flags.ts'
import { imagineTable } from './imagined.ts'
import { replayRecord, type Replay } from '../dataplane/replay/replay.ts'
import { createSide } from '../dataplane/replay/side.ts'
import { testProxy } from '../test/dataplane/proxy.ts'
import { httpUpstream } from '../test/dataplane/sockets.ts'
import { replay } from './replay.ts'

type Change = Readonly<{ tiers?: string; limit?: number; canary?: number; path?: string; more?: string; keys?: string }>

const keys = ['ann', 'bob'].map((name) => `apiVersion: v1
kind: Secret
metadata:
  name: ${name}
  namespace: ml
  labels: {modelroute.io/credential: api-key}
  annotations: {modelroute.io/consumer: ${name}, modelroute.io/tier: ${name === 'ann' ? 'free' : 'pro'}}
stringData: {key: k-${name}}
---
`).join('')

/** One rule of everything that a table decides by. */
const manifests = (port: number, { tiers = 'free, pro', limit = 5, canary = 20, path = '/v2', more = '', keys: secrets = keys }: Change = {}) => `${secrets}apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
  - name: infer
    matches: [{path: {type: PathPrefix, value: ${path}}}]
    auth: {anyOf: [{apiKey: {in: Header, name: x-api-key}}]}
    authorization: {allow: [{tiers: [${tiers}]}]}
    split: {by: Header, name: x-user}
    overrides: [{header: x-canary, value: always, variant: canary}]
    backendRefs:
    - {variant: stable, kind: URL, url: "http://127.0.0.1:${port}", weight: ${100 - canary}}
    - {variant: canary, kind: URL, url: "http://127.0.0.1:${port}", weight: ${canary}}
${more}---
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: tiers, namespace: ml}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: fraud}]
  limits: [{name: daily, counters: [{type: Principal}], rate: {requests: ${limit}, window: 24h}}]
`

function folderOf(t: TestContext): (name: string, text: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'replay-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return (name, text) => {
    const file = join(folder, name)
    writeFileSync(file, text)
    return file
  }
}

/** What a proxy with these manifests records of requests, each `consumer path header…`. */
async function record(t: TestContext, write: ReturnType<typeof folderOf>, port: number, requests: readonly Readonly<{ key?: string; path: string; headers?: Record<string, string> }>[]): Promise<string> {
  const { table, runtime } = await imagineTable([write('served.yaml', manifests(port))], { gateway: 'default', allowUrl: [] })
  t.after(() => runtime.close())
  const audit = write('audit.jsonl', '')
  const proxy = await testProxy(t, table.source, { audit, kept: { headers: ['x-canary', 'x-user', 'x-api-key'], parameters: ['v'] } })
  for (const { key, path, headers = {} } of requests) await (await fetch(`${proxy.url}${path}`, { headers: { ...headers, ...(key && { 'x-api-key': key }) } })).text()
  await proxy.close()
  return audit
}

async function run(file: string, against: string, more: Partial<Options<'replay'>> = {}): Promise<Readonly<{ code: number; text: string; problems: string; told: Replay }>> {
  let text = ''
  let problems = ''
  const options = { operands: [file], against: [against], from: [], output: 'json', gateway: 'default', allowUrl: [], failOnChange: false, ...more } as const
  const code = await replay(options, { stdout: (out) => { text += out }, stderr: (out) => { problems += out } })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what replay prints
  return { code, text, problems, told: (options.output === 'json' ? JSON.parse(text) : {}) as Replay }
}

const users = ['u1', 'u2', 'u3', 'u4', 'u5', 'u6', 'u7', 'u8']

test('a record replayed against what decided it shows no difference, and against a proposal each kind of them', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end())
  const write = folderOf(t)
  const audit = await record(t, write, port, [
    ...users.map((user, at) => ({ key: at % 2 === 0 ? 'k-ann' : 'k-bob', path: '/v2/models/fraud?v=2', headers: { 'x-user': user } })),
    { key: 'k-ann', path: '/v2', headers: { 'x-canary': 'always' } }, { key: 'k-ann', path: '/v2' },
    { path: '/v2' }, { key: 'wrong', path: '/v2' }, { path: '/elsewhere' },
  ])
  assert.doesNotMatch(readFileSync(audit, 'utf8'), /k-ann|k-bob|wrong/)
  const same = await run(audit, write('same.yaml', manifests(port)), { failOnChange: true })
  assert.deepEqual([same.code, same.told.requests, same.told.different, same.told.unknown, same.told.undecided], [0, 13, 0, [], 0])
  assert.deepEqual(same.told.shares.filter(({ from, to }) => from !== to), [])

  const kinds = async (change: Change) => (await run(audit, write('proposed.yaml', manifests(port, change)))).told.differences.map(({ kind, from, to, requests, uncertain }) => `${requests} ${kind} ${from} -> ${to}${uncertain > 0 ? ' ?' : ''}`)
  assert.deepEqual(await kinds({ tiers: 'pro' }), ['5 access ml/fraud infer: served -> forbidden', '1 access ml/fraud infer: rate_limited -> forbidden'])
  assert.deepEqual(await kinds({ limit: 3 }), ['3 limit ml/fraud infer: served -> rate_limited'])
  assert.deepEqual(await kinds({ limit: 50 }), ['1 limit ml/fraud infer: rate_limited -> served'])
  assert.deepEqual(await kinds({ path: '/v3' }), ['12 route ml/fraud infer -> no_route'])
  assert.deepEqual(await kinds({ keys: keys.replace(/^[^]*?---\n/, '') }), ['5 access ml/fraud infer: served -> unauthenticated', '1 access ml/fraud infer: rate_limited -> unauthenticated'])
  const moved = await kinds({ canary: 90 })
  assert.ok(moved.length === 1 && /^[1-8] variant ml\/fraud infer: stable -> canary$/.test(moved[0] ?? ''), moved.join())
  const changed = await run(audit, write('changed.yaml', manifests(port, { path: '/v3' })), { failOnChange: true, output: 'text' })
  assert.equal(changed.code, 1)
  assert.match(changed.text, /12 route: ml\/fraud infer -> no_route\n {4}line \d+: .*Z GET \/v2\/models\/fraud of (ann|bob), /)
})

test('what a record does not have is said, and with the present manifests compared all the same', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end())
  const write = folderOf(t)
  const line = (more: object) => `${JSON.stringify({ time: '2026-11-20T10:00:00.000Z', msg: 'request', request_id: 'r1', method: 'GET', host: 'a', path: '/v2/x', route: 'ml/fraud', rule: 'infer', variant: 'stable', status: 200, duration_ms: 3, ...more })}\n`
  const file = write('access.jsonl', `${line({})}${line({ request_id: 'r2' })}not json\n{"msg":"listening"}\n{"msg":"request","time":"x"}\n`)
  const rule = '  - name: beta\n    matches: [{path: {type: PathPrefix, value: /v2}, headers: [{name: x-beta, value: "1"}]}]\n    backendRefs: [{variant: beta, kind: URL, url: "http://127.0.0.1:1"}]\n'
  const { told } = await run(file, write('beta.yaml', manifests(port, { more: rule })))
  assert.deepEqual([told.requests, told.others, told.malformed], [2, 1, { lines: 2, first: [{ line: 3, why: 'is not JSON' }, { line: 5, why: 'has no time' }] }])
  assert.deepEqual(told.unknown.map(({ what }) => what).toSorted(), ['header x-beta', 'header x-canary', 'who calls'])
  const both = await run(file, write('b.yaml', manifests(port, { path: '/v3' })), { from: [write('a.yaml', manifests(port))] })
  assert.equal(both.told.differences[0]?.to, 'no_route')
})

test('a gate that had nothing to compare, or not all of the proposal, says so', async (t) => {
  const write = folderOf(t)
  const ledger = write('ledger.jsonl', '{"msg":"usage"}\n')
  const none = await run(ledger, write('m.yaml', manifests(1)), { failOnChange: true })
  assert.deepEqual([none.code, none.problems], [1, `modelroute replay: ${ledger} has no request to compare\n`])
  const broken = write('broken.yaml', manifests(1, { tiers: '1' }))
  assert.match((await run(ledger, broken)).problems, /broken\.yaml:\d+ ModelRoute\/ml\/fraud spec\.rules\[0\]\.authorization\.allow\[0\]\.tiers\[0\] Invalid: must be a string/)
  await assert.rejects(run(ledger, `${broken}.none`), { message: `${broken}.none: no such file or folder` })
})

test('a long record is gone through with little memory, in the order in which requests began', async (t) => {
  const write = folderOf(t)
  const side = createSide()
  const { table, runtime } = await imagineTable([write('m.yaml', manifests(1, { limit: 200, keys: '' }))], { gateway: 'default', allowUrl: [], filterDeps: side.filterDeps, prepare: side.prepare })
  t.after(() => runtime.close())
  function* lines() {
    for (let at = 0; at < 600; at++) {
      const end = Date.parse('2026-11-20T10:00:00Z') + at * 10
      yield Buffer.from(`${JSON.stringify({ time: new Date(end).toISOString(), msg: 'audit', request_id: `r${at}`, client: '10.0.0.1', consumer: `c${at % 2}`, tier: 'pro', via: 'apiKey', credential: 'k', method: 'GET', path: '/v2', route: 'ml/fraud', rule: 'infer', variant: 'stable', status: 200, latency_ms: at % 7, headers: { 'x-user': null, 'x-canary': null } })}\n`)
    }
  }
  const told = await replayRecord(Readable.from(lines()), { against: side.begin(table) })
  assert.deepEqual(told.differences.map(({ kind, requests }) => [kind, requests]), [['limit', 200]])
})

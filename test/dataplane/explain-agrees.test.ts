import assert from 'node:assert/strict'
import { Agent, request, type IncomingMessage, type RequestListener } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { Explanation } from '../../dataplane/explain/explain.ts'
import type { Log } from '../../dataplane/telemetry/log.ts'
import { runs } from '../runs.ts'
import { testProxy } from './proxy.ts'
import { chanceFrom, randomRequest, randomTable, type Asked } from './random-tables.ts'
import { httpUpstream } from './sockets.ts'

/** What the access log says of a request. */
type Line = Readonly<{ request_id: string; route?: string; rule?: string; variant?: string; endpoint?: string; code?: string; cache?: string; fallback?: string; status: number }>

/** A log of which each line is known at once. */
function lines(): Log & Readonly<{ lineOf(id: string): Promise<Line> }> {
  const waiting = new Map<string, (line: Line) => void>()
  return {
    enabled: () => true,
    write(_level, message, fields) {
      if (message !== 'request' || typeof fields !== 'string') return
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the recorder writes
      const line = JSON.parse(`{${fields.slice(1)}}`) as Line
      waiting.get(line.request_id)?.(line)
      waiting.delete(line.request_id)
    },
    announce() {},
    settle: () => Promise.resolve(true),
    pass() {},
    push() {},
    flush: () => Promise.resolve(),
    lineOf: (id) => new Promise((resolve) => waiting.set(id, resolve)),
  }
}

const answer: RequestListener = (asked, response) => {
  asked.resume().on('end', () => {
    const body = asked.url?.includes('/v2') === true ? '{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[1]}]}' : '{"predictions":[1]}'
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
    response.end(asked.method === 'HEAD' ? undefined : body)
  })
}

async function rig(t: TestContext) {
  const ports = [await httpUpstream(t, answer), await httpUpstream(t, answer)] as const
  const log = lines()
  const { urls, url, activate } = await testProxy(t, undefined, { log })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  function send(to: string, { method, host, path, headers, body }: Asked): Promise<string> {
    const { hostname, port } = new URL(to)
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const asked = request({ hostname, port, agent, method, path, headers: { ...headers, host, ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }) } }, (response: IncomingMessage) => {
      let text = ''
      response.setEncoding('utf8').on('data', (more: string) => (text += more)).on('end', () => resolve(text)).on('error', reject)
    })
    asked.on('error', reject).end(body)
    return promise
  }
  let count = 0
  const explain = async ({ method, host, path, headers, body }: Asked): Promise<Explanation> => {
    const question = { method, url: `http://${host}${path}`, headers, source: '127.0.0.1', ...(body !== undefined && { body }) }
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the admin port says
    return JSON.parse(await send(urls.admin ?? '', { method: 'POST', host: 'admin', path: '/explain', headers: {}, body: JSON.stringify(question) })) as Explanation
  }
  const ask = async (asked: Asked): Promise<Line> => {
    const id = `r${count++}`
    const line = log.lineOf(id)
    await send(url, { ...asked, headers: { ...asked.headers, 'x-request-id': id } })
    return line
  }
  return { ports, activate, explain, ask }
}

/** What both say of a request; `endpoint`: whether it is one of those that were told. */
function compared(told: Explanation, line: Line): readonly [unknown, unknown] {
  const { route, rule, variant, code, cache, endpoints = [], split } = told
  const answered = told.steps.some(({ verdict }) => verdict === 'answer')
  // A cookie that is made up is a toss: any of those that have a share, or who stands in for one. Who was tossed first is
  // in the key of the cache too.
  const loose = split?.by.startsWith('new cookie') === true && split.shares.length > 1
  // The log says what a static answer stands in for.
  const canned = line.fallback === 'static'
  const saysCanned = told.steps.some(({ why }) => why.startsWith('the static answer'))
  return [
    { route, rule, variant: loose ? line.variant : variant, ...(!loose && { code, cache: cache?.result, canned: saysCanned }), endpoint: loose || answered || code !== undefined || endpoints.length === 0 || endpoints.some(({ endpoint }) => endpoint === line.endpoint) },
    { route: line.route, rule: line.rule, variant: line.variant, ...(!loose && { code: canned ? undefined : line.code, cache: line.cache, canned }), endpoint: true },
  ]
}

test('explain agrees with what then happens, whatever the table and the request', async (t) => {
  const { ports, activate, explain, ask } = await rig(t)
  const [count, each] = [runs(150, 10_000), 40]
  const seed = Number(process.env['MODELROUTE_TEST_SEED'] ?? Date.now() % 1_000_000)
  const before: Asked[] = []
  const seen = new Map<string, number>()
  for (let at = 0; at < count; at++) {
    const chance = chanceFrom(seed + at)
    if (at % each === 0) assert.deepEqual(activate(randomTable(chance, String(at), ports)), [])
    if (at % each === 0) before.length = 0
    // Asked again it meets what it left: limits that are used, answers that are kept.
    const asked = chance.in100(50) ? before[chance.count(0, before.length - 1)] ?? randomRequest(chance) : randomRequest(chance)
    before.push(asked)
    const told = await explain(asked)
    const line = await ask(asked)
    const [expected, actual] = compared(told, line)
    assert.deepEqual(expected, actual, `MODELROUTE_TEST_SEED=${seed + at - at % each}, request ${at % each}: ${JSON.stringify(asked)}\n${told.steps.map(({ filter, verdict, why }) => `${verdict} ${filter} ${why}`).join('\n')}\n${JSON.stringify(line)}`)
    const came = line.code ?? line.cache ?? line.fallback ?? 'answered'
    seen.set(came, (seen.get(came) ?? 0) + 1)
  }
  t.diagnostic(`seed ${seed}: ${[...seen].map(([what, times]) => `${what} ${times}`).join(', ')}`)
  assert.ok(seen.size > 5)
})

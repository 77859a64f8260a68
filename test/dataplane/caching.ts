import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import type { Authenticate, Principal } from '../../dataplane/pipeline/principal.ts'
import { anonymous } from '../../dataplane/pipeline/principal.ts'
import type { Cache } from '../../table/cache.ts'
import type { Rule } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'

/** What a rule keeps, unless something else is said. */
export const policy = (more: Partial<Cache> = {}): Cache => ({
  ttl: 60_000, scope: 'Principal', maxBytes: 1_048_576, maxEntryBytes: 65_536, headers: [], pointers: [], tags: [], billed: 100, ...more,
})

/** `x-who: alice`. */
const authenticate: Authenticate = (exchange) => {
  const consumer = exchange.header('x-who') ?? ''
  const principal: Principal = { ...anonymous, via: 'jwt', consumer }
  return consumer === '' ? anonymous : principal
}

type Answering = (request: IncomingMessage, response: ServerResponse, call: number) => void
export const numbered: Answering = (_, response, call) => response.end(`answer ${call}`)

/** A proxy whose rule keeps answers, and a backend that remembers what it was asked. */
export async function proxyWith(t: TestContext, cache: Cache, answer: Answering = numbered, more: Partial<Rule> = {}) {
  const seen: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => answer(request, response, seen.push(`${request.method} ${request.url} ${Buffer.concat(chunks).toString()}`)))
  })
  const rules = (of: Cache, and: Partial<Rule> = {}) => [route({ rules: [rule({ auth: { anyOf: [], anonymous: true }, cache: of, ...more, ...and })] })]
  const table = (of: Cache, and?: Partial<Rule>) => active('1', rules(of, and), { 'ml/s:80': [port], 'ml/t:80': [port] })
  let arrivals = 0
  const counted: Authenticate = (exchange) => {
    arrivals++
    return authenticate(exchange)
  }
  const proxy = await testProxy(t, table(cache), { filterDeps: { authenticators: () => counted } })
  const ask = async (path: string, body?: string | Buffer<ArrayBuffer>, headers: Record<string, string> = {}) => {
    const answer = await fetch(new URL(path, proxy.url), { ...(body !== undefined && { method: 'POST', body }), headers: { 'content-type': 'application/json', ...headers } })
    return { status: answer.status, by: answer.headers.get('x-modelroute-cache'), age: answer.headers.get('age'), text: await answer.text(), headers: answer.headers }
  }
  /** `arrivals`: of requests. One without a body has met the cache by then. */
  return { proxy, table, ask, seen, arrivals: () => arrivals }
}


import assert from 'node:assert/strict'
import { Caches } from '../../dataplane/cache/caches.ts'
import type { DoorRequest } from '../../dataplane/pipeline/door.ts'
import { createGateway } from '../../dataplane/pipeline/gateway.ts'
import { anonymous, type Authenticate, type Principal } from '../../dataplane/pipeline/principal.ts'
import { screen } from '../../dataplane/pipeline/screen.ts'
import { createRuntime } from '../../dataplane/runtime.ts'
import { innerRequest, InnerResponse } from '../../dataplane/upstream/inner.ts'
import type { Cache } from '../../table/cache.ts'
import type { Rule } from '../../table/route.ts'
import { httpUpstream, type Owner } from './sockets.ts'
import '../steady.ts'
import { active, match, route, rule, variant } from './table.ts'

type Answer = Readonly<{ status: number; by: string; variant: string; text: string }>
type Asking = Readonly<{ tenant: string; path: string; who: string; body: string; canary: boolean; lang: string; from: string }>

/** A gateway without doors: requests are given to it as a door would, and nobody's sockets are measured with it. */
function enter(gateway: ReturnType<typeof createGateway>, { tenant, path, who, body, canary, lang, from }: Asking): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = ['host', `${tenant}.example.com`, 'content-type', 'application/json', 'content-length', String(body.length), 'accept-language', lang,
      ...(who === '' ? [] : ['x-who', who]), ...(canary ? ['x-canary', 'always'] : [])]
    const pieces: Buffer[] = []
    let head: readonly string[] = []
    let status = 0
    const response = new InnerResponse({
      onResponseStart(_controller, code, raw) { [status, head] = [code, raw] },
      onResponseData(_controller, chunk) { pieces.push(Buffer.from(chunk)) },
      onResponseFlush: () => false,
      onResponseEnd: () => resolve({ status, by: told('x-modelroute-cache'), variant: told('x-modelroute-variant'), text: Buffer.concat(pieces).toString() }),
      onResponseError: reject,
    })
    const told = (name: string) => head[head.indexOf(name) + 1] ?? ''
    const request: DoorRequest = {
      ...innerRequest('POST', path, headers), remoteAddress: from,
      read(sink) {
        queueMicrotask(() => {
          sink.data(Buffer.from(body))
          sink.end()
        })
      },
    }
    gateway(request, response, screen(request))
  })
}

/** Numbers by chance that are the same each time (mulberry32). */
function chanceOf(seed: number): (most: number) => number {
  let state = seed
  return (most) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 4_294_967_296 * most)
  }
}

const tenants = ['ml', 'eu', 'us']
const scopes = ['Principal', 'Tenant', 'Shared'] as const
const people = ['alice', 'bob', 'carol', '', '']
const addresses = ['10.0.0.1', '10.0.0.2', '2001:db8::1', '2001:db8:0:1::1']
/** One question each, in several spellings. */
const bodies = [
  ['{"instances":[[1,2]],"x":"a"}', '{ "x":"a","instances":[[1.0,2e0]]}', '{"instances":[[10e-1,2]],\n"x":"\\u0061"}'],
  ['{"instances":[[1,2]],"x":"b"}', '{"x":"b","instances":[[1,2.00]]}'],
  ['{"instances":[[12]],"x":"a"}', '{"x":"a" ,"instances":[[1.2e1]]}'],
  ['{"instances":[["1",2]],"x":"a"}'], ['{"instances":[[1,2]],"x":"a","y":null}'], ['{"instances":[[2,1]],"x":"a"}'], ['{"instances":[[9007199254740993]]}'], ['{"instances":[[9007199254740992]]}'],
]

export type Crossings = Readonly<{ requests: number; hits: number; calls: number; crossings: readonly string[] }>

/**
 * Asks by chance, over tenants, callers, scopes, variants, versions, routes and spellings, with edits, purges and weights
 * that move in between, and compares each answer with what may have been its question.
 * @param inFlight requests at once
 */
export async function lookForCrossings(t: Owner, count: number, inFlight: number, seed = 1): Promise<Crossings> {
  const chance = chanceOf(seed)
  const pick = <Item>(items: readonly Item[]): Item => items[chance(items.length)]!
  let calls = 0
  const backend = (name: string) => httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      calls++
      const { host, 'x-modelroute-consumer': who = '', 'accept-language': lang, 'x-forwarded-for': from } = request.headers
      response.writeHead(200, { 'content-type': 'application/json', ...(request.url?.startsWith('/varied') === true && { vary: 'accept-language' }) })
      response.end(JSON.stringify({ name, call: calls, host, path: request.url, who, lang, from, body: Buffer.concat(chunks).toString() }))
    })
  })
  const ports = new Map<string, number>()
  for (const name of ['stable-1', 'stable-2', 'canary-1', 'canary-2']) ports.set(name, await backend(name))
  const version = new Map(tenants.map((tenant) => [tenant, 1]))
  const weight = new Map(tenants.map((tenant) => [tenant, 500_000]))
  const policy = (scope: Cache['scope'], tenant: string): Cache => ({
    ttl: 3_600_000, scope, maxBytes: 262_144, maxEntryBytes: 65_536, headers: [], pointers: [], tags: [tenant], billed: 100,
  })
  const ruleFor = (tenant: string, scope: Cache['scope'], prefix: string): Rule => {
    const now = version.get(tenant) ?? 1
    return rule({
      name: `${scope.toLowerCase()}${prefix.replaceAll('/', '-')}`, matches: [match(`${prefix}/${scope}`)], auth: { anyOf: [], anonymous: true }, cache: policy(scope, tenant),
      variants: [
        variant('stable', `${tenant}/stable-${now}:80`, { weight: weight.get(tenant) ?? 0, model: { version: String(now) } }),
        variant('canary', `${tenant}/canary-${now}:80`, { weight: 1_000_000 - (weight.get(tenant) ?? 0), model: { version: String(now) } }),
      ],
      overrides: [{ header: 'x-canary', value: 'always', variant: 'canary' }],
      // Of both ends in one process, and of nobody else, is how long this takes.
      timeouts: { request: 120_000, backendRequest: 120_000, connect: 60_000 },
    })
  }
  const caches = new Caches()
  const authenticate: Authenticate = (exchange) => {
    const consumer = exchange.header('x-who') ?? ''
    const principal: Principal = { ...anonymous, via: 'jwt', consumer }
    return consumer === '' ? anonymous : principal
  }
  const runtime = createRuntime({ filterDeps: { caches, authenticators: () => authenticate } })
  t.after(() => runtime.close())
  const gateway = createGateway({
    runtime, recorder: { record() {} }, draining: () => false, shed: () => false, trusted: undefined,
  })
  const put = () => {
    const routes = tenants.flatMap((tenant) => ['/plain', '/varied'].map((prefix) => route({
      id: `${tenant}/fraud${prefix.replaceAll('/', '-')}`, tenant, hostnames: [`${tenant}.example.com`], rules: scopes.map((scope) => ruleFor(tenant, scope, prefix)),
    })))
    const sets = Object.fromEntries(tenants.flatMap((tenant) => [...ports].map(([name, port]) => [`${tenant}/${name}:80`, [port]])))
    assert.deepEqual(runtime.activate(active(String(calls), routes, sets)), [])
  }
  put()
  const crossings: string[] = []
  /** By tenant: calls up to this are of no use any more. */
  const floor = new Map(tenants.map((tenant) => [tenant, 0]))
  let [begun, hits] = [0, 0]
  const apart = Math.min(10_000, Math.ceil(count / 5))

  async function one(): Promise<void> {
    const number = begun++
    if (number % apart === apart - 1) await change()
    const tenant = pick(tenants)
    const scope = pick(scopes)
    const body = chance(bodies.length)
    const asked: Asking = {
      tenant, path: `${pick(['/plain', '/varied'])}/${scope}/v1/models/${pick(['a', 'b'])}:predict${pick(['', '?v=1'])}`, who: pick(people), body: pick(bodies[body] ?? []),
      canary: chance(3) === 0, lang: pick(['de', 'en']), from: pick(addresses),
    }
    const [least, was] = [floor.get(tenant) ?? 0, version.get(tenant) ?? 1]
    const answer = await enter(gateway, asked)
    if (answer.by === 'hit') hits++
    const wrong = whatIsWrong(asked, body, answer, least, [was, version.get(tenant) ?? 1])
    if (wrong !== undefined && crossings.length < 20) crossings.push(`${wrong}: ${JSON.stringify(asked)} got ${answer.status} ${answer.by} ${answer.variant} ${answer.text}`)
  }

  /** An edit, a purge, or a step of a rollout. */
  async function change(): Promise<void> {
    const tenant = pick(tenants)
    switch (chance(3)) {
      case 0:
        version.set(tenant, (version.get(tenant) ?? 1) === 1 ? 2 : 1)
        put()
        break
      case 1:
        weight.set(tenant, chance(1_000_001))
        put()
        break
      default:
        await caches.purge(chance(2) === 0 ? {} : { tag: tenant })
        floor.set(tenant, calls)
    }
  }

  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (begun < count) await one()
  }))
  return { requests: begun, hits, calls, crossings }
}

function whatIsWrong(asked: Asking, body: number, { status, by, variant: of, text }: Answer, least: number, versions: readonly number[]): string | undefined {
  if (status !== 200) return 'no answer'
  const got = JSON.parse(text) as Record<'name' | 'host' | 'path' | 'who' | 'lang' | 'from' | 'body', string> & { call: number }
  if (got.host !== `${asked.tenant}.example.com`) return 'of another tenant'
  if (got.path !== asked.path) return 'of another path'
  if (!(bodies[body] ?? []).includes(got.body)) return 'to another question'
  if (got.name.split('-')[0] !== of || (asked.canary && of !== 'canary')) return 'of another variant'
  if (!versions.includes(Number(got.name.split('-')[1]))) return 'of another version'
  if (asked.path.startsWith('/varied') && got.lang !== asked.lang) return 'in another language'
  if (by === 'hit' && got.call <= least) return 'that was purged'
  if (asked.path.includes('/Shared/')) return undefined
  if (asked.who === '') return got.who !== '' || networkOf(got.from) !== networkOf(asked.from) ? 'of another caller' : undefined
  if (asked.path.includes('/Principal/')) return got.who !== asked.who ? 'of another caller' : undefined
  return got.who === '' ? 'of somebody unknown' : undefined
}

/** Of IPv6 the /64. */
const networkOf = (address: string): string => (address.includes(':') ? address.replace(/::.*$/, '') : address)

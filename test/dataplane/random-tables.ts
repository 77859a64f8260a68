import type { Cache } from '../../table/cache.ts'
import type { ComposeStep } from '../../table/compose.ts'
import type { Limit } from '../../table/limits.ts'
import type { Match, Route, Rule, Variant } from '../../table/route.ts'
import type { Active } from '../../dataplane/store.ts'
import { keySet, withKeys } from './keys.ts'
import { active, match, route, rule, variant } from './table.ts'

/** Tables and requests made up at random, of everything that decides what becomes of a request. */

export type Asked = Readonly<{ method: string; host: string; path: string; headers: Readonly<Record<string, string>>; body?: string }>

export type Chance = Readonly<{
  /** True in so many of a hundred cases. */
  in100(percent: number): boolean
  one<T>(of: readonly [T, ...T[]]): T
  some<T>(of: readonly T[], percent: number): T[]
  count(from: number, to: number): number
}>

/** mulberry32. */
export function chanceFrom(seed: number): Chance {
  let state = seed >>> 0
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    in100: (percent) => random() * 100 < percent,
    one: (of) => of[Math.floor(random() * of.length)] ?? of[0],
    some: (of, percent) => of.filter(() => random() * 100 < percent),
    count: (from, to) => from + Math.floor(random() * (to - from + 1)),
  }
}

const hosts = ['a.example', 'b.example', 'x.a.example', 'y.x.a.example'] as const
const paths = ['/', '/v1/models/fraud:predict', '/v1/models/spam:predict', '/v2/models/fraud/infer', '/v2/models/fraud/versions/2/infer', '/v1/chat/completions', '/plain', '/plain/deeper', '/files/a%2Fb'] as const
const models = ['fraud', 'spam', 'gpt'] as const
const consumers = ['ann', 'bob', 'carl'] as const
const keys = { 'k-ann': { consumer: 'ann', tier: 'free', groups: ['red'] }, 'k-bob': { consumer: 'bob', tier: 'pro', groups: ['red', 'blue'] }, 'k-carl': { consumer: 'carl' } }

const exact = (name: string, value: string) => ({ name, type: 'Exact', value }) as const

function matchOf(chance: Chance, auth: boolean): Match {
  const type = chance.one(['Prefix', 'Prefix', 'Prefix', 'Exact', 'Regex'] as const)
  const path = type === 'Exact' ? chance.one(paths) : type === 'Prefix' ? chance.one(['/', '/', '/', '/v1', '/v1', '/v2/models', '/v2/models/fraud', '/plain', '/v1/chat']) : chance.one(['/v[12]/models/.*', '/plain(/.*)?', '/.*infer'])
  return match(path, {
    type,
    ...(chance.in100(20) && { method: chance.one(['GET', 'POST', 'DELETE']) }),
    headers: chance.some([exact('x-tier', 'gold'), { name: 'x-beta', type: 'Present' } as const, { name: 'x-team', type: 'Prefix', value: 'r' } as const, { name: 'x-user', type: 'Regex', value: 'u[0-4]' } as const], 8),
    query: chance.some([exact('v', '2'), { name: 'debug', type: 'Present' } as const], 7),
    ...(chance.in100(18) && { model: { name: chance.one(models), ...(chance.in100(20) && { version: '2' }), ...(chance.in100(20) && { type: 'Prefix' as const, name: chance.one(['f', 'sp']) }) } }),
    ...(chance.in100(10) && { body: [{ pointer: '/parameters/region', type: 'Exact', value: 'eu' } as const] }),
    ...(chance.in100(6) && { sources: [chance.one(['127.0.0.0/8', '10.0.0.0/8'])] }),
    ...(auth && chance.in100(25) && { principal: { consumers: chance.some(consumers, 50), groups: chance.some(['red', 'blue'], 30), tiers: chance.some(['free', 'pro'], 25), claims: [] } }),
    ...(chance.in100(8) && { when: chance.one(['request.headers["x-beta"] == "1"', 'request.model == "fraud"', 'principal.tier == "pro"', 'request.path.startsWith("/v2")']) }),
  })
}

function limitOf(chance: Chance, name: string): Limit {
  const window = 86_400_000
  const algorithm = chance.one<Limit['algorithm']>([{ type: 'FixedWindow', window }, { type: 'SlidingWindow', window }, { type: 'SlidingLog', window }, { type: 'TokenBucket', window, burst: chance.count(0, 2) }, { type: 'Concurrency' }])
  const unit = algorithm.type === 'Concurrency' ? 'requests' as const : chance.one(['requests', 'requests', 'requests', 'tokens', 'cost'] as const)
  return {
    policy: 'ml/random', name, algorithm, unit, amount: unit === 'requests' ? chance.count(1, 12) : chance.count(2, 300),
    ...(unit === 'cost' && { cost: chance.one(['double(rows)', 'double(requestBytes) / 10.0', 'double(outputTokens) + double(inputTokens)']) }),
    appliesTo: {
      tiers: chance.some(['free', 'pro'], 12), groups: chance.some(['red'], 8), consumers: chance.some(consumers, 8), models: chance.some(models, 8),
      ...(chance.in100(10) && { when: 'request.method == "POST"' }),
    },
    counters: chance.some<Limit['counters'][number]>([{ type: 'Principal' }, { type: 'SourceIP' }, { type: 'Tier' }, { type: 'Group' }, { type: 'Model' }, { type: 'Variant' }, { type: 'Route' }, { type: 'Header', name: 'x-team' }, { type: 'Claim', name: 'org' }], 12),
    scope: 'Local', shadow: chance.in100(12), onStoreFailure: 'Local',
  }
}

function cacheOf(chance: Chance): Cache {
  return {
    ttl: 3_600_000, scope: chance.one(['Principal', 'Tenant', 'Shared'] as const), maxBytes: 1_000_000, maxEntryBytes: 100_000, headers: chance.some(['x-team'], 30),
    pointers: chance.in100(20) ? ['/inputs', '/messages'] : [], tags: [], billed: chance.one([0, 20, 100]), ...(chance.in100(30) && { nondeterministic: true as const }),
    ...(chance.in100(20) && { staleIfError: 60_000 }),
  }
}

function variantsOf(chance: Chance): Variant[] {
  const sets = ['ml/two:80', 'ml/two:80', 'ml/one:80', 'ml/one:80', 'none'] as const
  return ['a', 'b', 'c'].slice(0, chance.count(1, 3)).map((name, at) => variant(name, chance.one(sets), {
    weight: at === 0 ? chance.one([1, 300_000, 1_000_000]) : chance.one([0, 1, 300_000, 1_000_000]),
    priority: at === 0 ? 0 : chance.one([0, 0, 0, 1, 2]),
    ...(chance.in100(8) && { target: { kind: 'unresolved' as const, why: 'there is none' } }),
    ...(chance.in100(12) && { model: { ...(chance.in100(80) && { name: 'other' }), ...(chance.in100(30) && { version: '7' }) } }),
  }))
}

const step = (name: string, more: Partial<ComposeStep> = {}): ComposeStep =>
  ({ name, variant: variant(name, 'ml/one:80'), dependsOn: [], maxParallel: 8, onError: 'Fail', ...more })

const number = { type: 'object', required: ['inputs'], properties: { inputs: { type: 'array' } } }

function ruleOf(chance: Chance, name: string): Rule {
  const auth = chance.in100(50) ? { anyOf: [{ kind: 'apiKey', in: 'Header', name: 'x-api-key', set: chance.one(['all', 'few']) } as const], anonymous: chance.in100(40) } : undefined
  const composed = chance.in100(6)
  const variants = composed ? [] : variantsOf(chance)
  const names = variants.map((one) => one.name)
  const by = chance.one(['none', 'none', 'Principal', 'Header', 'Cookie'] as const)
  return rule({
    name, variants,
    matches: Array.from({ length: chance.count(1, 3) }, () => matchOf(chance, auth !== undefined)),
    balance: chance.one<Rule['balance']>([{ policy: 'RoundRobin' }, { policy: 'LeastRequest' }, { policy: 'PeakEWMA' }, { policy: 'InferenceAware' }, { policy: 'ConsistentHash', key: { by: 'Header', name: 'x-user' } }, { policy: 'ConsistentHash', key: { by: 'PromptPrefix' } }]),
    ...(auth && { auth }),
    ...(auth && chance.in100(35) && { authorization: [{ consumers: chance.some(consumers, 60), groups: [], tiers: chance.some(['pro'], 20), scopes: [], models: chance.some(models, 20), methods: chance.some(['GET', 'POST'], 30), ...(chance.in100(15) && { when: 'request.path != "/plain"' }) }] }),
    ...(composed && { compose: { steps: [step('first'), step('second', { dependsOn: ['first'] })] } }),
    ...(!composed && by !== 'none' && { split: by === 'Principal' ? { by } : { by, name: 'x-user' } }),
    ...(!composed && chance.in100(25) && { overrides: [{ header: 'x-canary', value: 'always', variant: names.at(-1) ?? '' }] }),
    ...(chance.in100(25) && { limits: Array.from({ length: chance.count(1, 2) }, (_, at) => limitOf(chance, `${name}-${at}`)) }),
    ...(!composed && chance.in100(25) && { cache: cacheOf(chance) }),
    ...(chance.in100(15) && { transform: { request: { headers: { set: [{ name: 'x-team', value: 'set' }], add: [], remove: ['x-beta'] }, ...(chance.in100(40) && { body: { set: [{ pointer: '/parameters/by', value: '"gateway"' }], remove: ['/ssn'] } }) } } }),
    ...(chance.in100(10) && { validation: { request: { source: 'Schema' as const, schema: number } } }),
    ...(!composed && chance.in100(6) && { batching: { maxSize: 8, maxDelay: 1, scope: 'Tenant' as const } }),
    ...(chance.in100(15) && { fallbackResponse: { status: 202, contentType: 'text/plain', body: 'later' } }),
    ...(chance.in100(15) && { deadlineHeader: 'x-deadline' }),
    ...(chance.in100(10) && { sizeLimits: { request: 60 } }),
    ...(chance.in100(10) && { cors: { origins: ['https://page.example'], methods: ['*'], headers: ['*'], expose: [], credentials: false, maxAge: 5 } }),
    ...(chance.in100(10) && { retry: { attempts: 1, reasons: ['connect-failure' as const], codes: [503], budgetPercent: 20, backoff: 1 } }),
    ...(!composed && names.length > 1 && chance.in100(8) && { mirror: { variant: names[1] ?? '', percent: 50 } }),
    ...(chance.in100(10) && { breaker: { maxRequests: 100, maxPending: 10, errorPercent: 90, minRequests: 1000, openFor: 1000 } }),
  })
}

/** @param ports of backends: `two` has both of them, `one` the first */
export function randomTable(chance: Chance, version: string, ports: readonly [number, number]): Active {
  const routes: Route[] = Array.from({ length: chance.count(2, 6) }, (_, at) => {
    const tenant = chance.one(['ml', 'ml', 'other'])
    return route({
      id: `${tenant}/r${at}`, tenant, created: chance.one(['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z']),
      hostnames: chance.one([[], [], [], [], ['a.example'], ['*.a.example'], ['*.example'], ['b.example', '*.x.a.example']]),
      rules: Array.from({ length: chance.count(1, 3) }, (_unused, rules) => ruleOf(chance, `rule${rules}`)),
    })
  })
  const table = active(version, routes, { 'ml/one:80': [ports[0]], 'ml/two:80': ports, none: [] })
  const { 'k-carl': _, ...few } = keys
  return withKeys(table, keySet('all', keys), keySet('few', few))
}

export function randomRequest(chance: Chance): Asked {
  const path = chance.one(paths)
  const method = chance.one(['GET', 'POST', 'POST', 'POST', 'DELETE', 'HEAD', 'OPTIONS'])
  const headers: Record<string, string> = {}
  const may = (percent: number, name: string, values: readonly [string, ...string[]]) => {
    if (chance.in100(percent)) headers[name] = chance.one(values)
  }
  may(55, 'x-api-key', ['k-ann', 'k-bob', 'k-carl', 'k-none'])
  may(25, 'x-tier', ['gold', 'silver'])
  may(25, 'x-beta', ['1', '0'])
  may(25, 'x-team', ['red', 'blue'])
  may(40, 'x-user', ['u1', 'u2', 'u3', 'u9', ''])
  may(20, 'cookie', ['x-user=u1', 'x-user=u7; other=1'])
  may(15, 'x-canary', ['always', 'never'])
  may(10, 'x-deadline', ['5s', '2', 'soon'])
  may(8, 'cache-control', ['no-store', 'no-cache', 'only-if-cached', 'max-age=100'])
  if (method === 'OPTIONS' && chance.in100(70)) Object.assign(headers, { origin: 'https://page.example', 'access-control-request-method': chance.one(['POST', 'GET']) })
  const query = chance.one(['', '', '', '?v=2', '?v=3&debug=1', '?debug'])
  const asked = { method, host: chance.one(hosts), path: path + query, headers }
  if (method !== 'POST') return asked
  headers['content-type'] = chance.one(['application/json', 'application/json', 'application/json', 'text/plain'])
  return { ...asked, body: bodyOf(chance, path) }
}

function bodyOf(chance: Chance, path: string): string {
  if (chance.in100(5)) return chance.one(['', '{', 'plain'])
  const more = { ...(chance.in100(25) && { parameters: { region: chance.one(['eu', 'us']) } }), ...(chance.in100(20) && { ssn: '1' }) }
  if (path.startsWith('/v1/chat')) return JSON.stringify({ model: chance.one(models), messages: [{ role: 'user', content: chance.one(['hello', 'good bye']) }], ...(chance.in100(50) && { temperature: 0 }), ...(chance.in100(40) && { max_tokens: 10 }), ...more })
  if (path.startsWith('/v1/models')) return JSON.stringify({ instances: [[1, 2]], ...more })
  if (path.startsWith('/v2')) return JSON.stringify({ inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, chance.count(1, 3)] }], ...more })
  return JSON.stringify({ model: chance.one(models), ...more })
}

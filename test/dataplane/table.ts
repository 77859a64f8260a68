import type { EndpointSet } from '../../table/endpoints.ts'
import type { Match, Route, Rule, Variant } from '../../table/route.ts'
import type { Active } from '../../dataplane/store.ts'

/** Short ways to write tables in tests. */
export function match(path: string, more: Partial<Match> & { type?: Match['path']['type'] } = {}): Match {
  const { type = 'Prefix', ...rest } = more
  return { path: { type, value: path }, headers: [], query: [], ...rest }
}

export function variant(name: string, set: string, more: Partial<Variant> = {}): Variant {
  return { name, weight: 1_000_000, priority: 0, target: { kind: 'endpoints', set }, ...more }
}

export function rule(more: Partial<Rule> = {}): Rule {
  return {
    name: 'infer', matches: [match('/')], variants: [variant('stable', 'ml/s:80')], overrides: [], balance: { policy: 'RoundRobin' },
    timeouts: { request: 30_000, backendRequest: 30_000, connect: 10_000 }, ...more,
  }
}

export function route(more: Partial<Route> = {}): Route {
  return { id: 'ml/fraud', tenant: 'ml', generation: 1, created: '2026-01-01T00:00:00Z', hostnames: [], rules: [rule()], ...more }
}

export function active(version: string, routes: readonly Route[], sets: Readonly<Record<string, readonly number[]>>): Active {
  const endpoints = Object.entries(sets).map(([id, ports]): [string, EndpointSet] =>
    [id, { id, endpoints: ports.map((port) => ({ address: '127.0.0.1', port })) }])
  const items = { routes: new Map(routes.map((one) => [one.id, one])), endpoints: new Map(endpoints) }
  return { version, ...items, credentials: new Map(), secrets: new Map() }
}

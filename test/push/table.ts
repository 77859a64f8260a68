import type { EndpointSet } from '../../table/endpoints.ts'
import type { Share } from '../../table/resources.ts'
import type { Route } from '../../table/route.ts'

/** A route as big as a usual one, that names the endpoint set of its own name. */
export function route(id: string, weight = 900_000): Route {
  const variant = (name: string, share: number) => ({
    name,
    weight: share,
    priority: 0,
    target: { kind: 'endpoints' as const, set: `${id}:${name === 'stable' ? 80 : 81}` },
  })
  return {
    id,
    tenant: id.split('/')[0] ?? '',
    generation: 1,
    created: '2026-01-01T00:00:00Z',
    hostnames: ['models.example.com'],
    rules: [
      {
        name: 'infer',
        matches: [{ path: { type: 'Prefix', value: `/v2/models/${id}` }, headers: [], query: [] }],
        variants: [variant('stable', weight), variant('canary', 1_000_000 - weight)],
        overrides: [],
        balance: { policy: 'RoundRobin' },
        timeouts: { request: 60_000, connect: 1_000 },
      },
    ],
  }
}

export function endpointSet(id: string, ...addresses: string[]): EndpointSet {
  return { id, endpoints: addresses.map((address) => ({ address, port: 8000 })) }
}

const byId = <T extends { id: string }>(items: readonly T[]) => new Map(items.map((item) => [item.id, item]))

export function fleet(routes: readonly Route[], endpoints?: readonly EndpointSet[]): Share {
  const setsOf = ({ id }: Route) => [endpointSet(`${id}:80`, '10.0.0.1'), endpointSet(`${id}:81`, '10.0.0.2')]
  const items = { routes: byId(routes), endpoints: byId(endpoints ?? routes.flatMap(setsOf)) }
  return { ...items, credentials: new Map(), secrets: new Map() }
}

export function fleets(routes: readonly Route[], endpoints?: readonly EndpointSet[]): Map<string, Share> {
  return new Map([['default', fleet(routes, endpoints)]])
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type CompileOptions, createCompiler } from '../controller/compile/compile.ts'
import { readManifests } from '../controller/sources/files.ts'
import type { ReferenceGrant, Resource, Secret, Service, Snapshot } from '../controller/sources/snapshot.ts'
import type { ModelRoute, RateLimitPolicy } from '../crds/types.gen.ts'
import type { Matchable } from '../dataplane/pipeline/match.ts'
import type { BuiltRule } from '../dataplane/pipeline/rule.ts'
import { createRuntime } from '../dataplane/runtime.ts'
import type { Upstream } from '../dataplane/upstream/pool.ts'
import type { Route } from '../table/route.ts'
import { runs } from './runs.ts'
import './steady.ts'

/**
 * Tenants of one gateway, at random: what any of them may write, and what the administrator bound. The worlds go the
 * whole way, through the compiler and into a proxy's table, and nothing of one tenant may lead to another.
 */

const tenants = ['a', 'b', 'c'] as const
type Tenant = (typeof tenants)[number]
const names = ['x', 'y'] as const
const hosts = ['m.example.com', 'n.example.com', 'm.n.example.com', '*.example.com', '*.n.example.com'] as const
const asked = ['m.example.com', 'n.example.com', 'm.n.example.com', 'q.example.com', 'q.n.example.com', 'else.example.org']
const paths = ['/', '/v1', '/v1/x'] as const

type Written = Readonly<{
  tenant: Tenant
  hosts: readonly string[]
  path: string
  backends: readonly Place[]
  /** The Secret with the keys of its tokens; undefined: it takes API keys. */
  tokens: Place | undefined
}>
type Place = Readonly<{ tenant: Tenant; name: string }>
type Grant = Readonly<{ from: Tenant; to: Tenant; name: string | undefined; kind: string }>
type World = Readonly<{
  routes: readonly Written[]
  grants: readonly Grant[]
  services: readonly Place[]
  secrets: readonly Place[]
  /** Each names a route by its age, whose ever that is. */
  policies: readonly Readonly<{ tenant: Tenant; route: number }>[]
  bindings: readonly Readonly<{ host: string; namespace: Tenant }>[]
}>

const tenant = fc.constantFrom(...tenants)
const place = fc.record({ tenant, name: fc.constantFrom(...names) })
const worlds: fc.Arbitrary<World> = fc.record({
  routes: fc.array(fc.record({
    tenant,
    hosts: fc.uniqueArray(fc.constantFrom(...hosts), { maxLength: 2 }),
    path: fc.constantFrom(...paths),
    backends: fc.array(place, { minLength: 1, maxLength: 2 }),
    tokens: fc.option(place, { nil: undefined }),
  }), { maxLength: 8 }),
  grants: fc.array(fc.record({
    from: tenant, to: tenant, name: fc.constantFrom(undefined, ...names), kind: fc.constantFrom('Service', 'Service', 'Secret'),
  }), { maxLength: 4 }),
  services: fc.uniqueArray(place, { selector: ({ tenant, name }) => `${tenant}/${name}`, maxLength: 6 }),
  secrets: fc.uniqueArray(place, { selector: ({ tenant, name }) => `${tenant}/${name}`, maxLength: 6 }),
  policies: fc.array(fc.record({ tenant, route: fc.nat(7) }), { maxLength: 4 }),
  bindings: fc.array(fc.record({ host: fc.constantFrom(...hosts, '*'), namespace: tenant }), { maxLength: 2 }),
})

function snapshotOf(world: World, blank: Snapshot): Snapshot {
  const modelRoutes = new Map(world.routes.map((route, age) => {
    const name = `r${age}`
    const spec: ModelRoute['spec'] = {
      ...(route.hosts.length > 0 && { hostnames: [...route.hosts] }),
      auth: {
        anyOf: [route.tokens === undefined
          ? { apiKey: { in: 'Header', name: 'x-api-key', selector: { matchLabels: { team: 'a' } } } }
          : { jwt: { issuer: 'https://issuer.example', algorithms: ['HS256'], jwks: { secretRef: { name: route.tokens.name, key: 'jwks', ...(route.tokens.tenant !== route.tenant && { namespace: route.tokens.tenant }) } } } }],
      },
      rules: [{
        name: 'infer',
        matches: [{ path: { value: route.path } }],
        backendRefs: route.backends.map((to, at) => ({
          variant: `v${at}`, name: to.name, port: 80, ...(to.tenant !== route.tenant && { namespace: to.tenant }),
        })),
      }],
    }
    const object: ModelRoute = { apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name, namespace: route.tenant }, spec }
    const resource: Resource<ModelRoute> = {
      namespace: route.tenant, name, generation: 1, created: String(age).padStart(2, '0'), uid: name, object, problems: [],
    }
    return [`${route.tenant}/${name}`, resource] as const
  }))
  const services = new Map(world.services.map(({ tenant, name }): [string, Service] =>
    [`${tenant}/${name}`, { metadata: { name, namespace: tenant }, spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }] } }]))
  const endpointSlices = new Map(world.services.map(({ tenant, name }) => {
    const labels = { 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' }
    const targetRef = { kind: 'Pod', name: `${name}-0`, namespace: tenant }
    return [`${tenant}/${name}`, [
      { metadata: { name, namespace: tenant, labels }, addressType: 'IPv4', ports: [{ port: 80 }], endpoints: [{ addresses: [addressOf(tenant, name)], targetRef }] },
      // Whoever may write a slice names the pods of others: it does not count.
      { metadata: { name: 'own', namespace: tenant }, addressType: 'IPv4', ports: [{ port: 80 }], endpoints: [{ addresses: ['10.66.66.66'], targetRef }] },
      { metadata: { name: 'other', namespace: tenant, labels }, addressType: 'IPv4', ports: [{ port: 80 }], endpoints: [{ addresses: ['10.66.66.67'], targetRef: { ...targetRef, namespace: 'elsewhere' } }] },
    ]] as const
  }))
  const referenceGrants = new Map(world.grants.map(({ from, to, name, kind }, at): [string, ReferenceGrant] => [`${to}/g${at}`, {
    metadata: { name: `g${at}`, namespace: to },
    spec: { from: [{ group: 'modelroute.io', kind: 'ModelRoute', namespace: from }], to: [{ group: '', kind, ...(name && { name }) }] },
  }]))
  const apiKey = (tenant: Tenant): Secret => ({
    metadata: { name: 'key', namespace: tenant, labels: { 'modelroute.io/credential': 'api-key', team: 'a' }, annotations: { 'modelroute.io/consumer': tenant } },
    data: new Map([['key', Buffer.from(`key of ${tenant}`).toString('base64')]]),
  })
  const secrets = new Map([
    ...tenants.map((tenant) => [`${tenant}/key`, apiKey(tenant)] as const),
    ...world.secrets.map(({ tenant, name }) => [`${tenant}/${name}`, { metadata: { name, namespace: tenant }, data: new Map([['jwks', Buffer.from(`of ${tenant}`).toString('base64')]]) }] as const),
  ])
  const rateLimitPolicies = new Map(world.policies.map(({ tenant, route }, at) => {
    const name = `p${at}`
    const object: RateLimitPolicy = {
      apiVersion: 'modelroute.io/v1alpha1', kind: 'RateLimitPolicy', metadata: { name, namespace: tenant },
      spec: { targetRefs: [{ group: 'modelroute.io', kind: 'ModelRoute', name: `r${route}` }], limits: [{ name: 'l', rate: { requests: 1, window: '1h' } }] },
    }
    return [`${tenant}/${name}`, { namespace: tenant, name, generation: 1, created: String(at), uid: `${tenant}${name}`, object, problems: [] }] as const
  }))
  return { ...blank, secrets, rateLimitPolicies, modelRoutes, services, endpointSlices, referenceGrants }
}

/** A tenant's endpoints can be told by their address. */
const addressOf = (tenant: Tenant, name: string) => `10.${tenants.indexOf(tenant)}.0.${names.indexOf(name as 'x') + 1}`

function placeOf({ label }: Upstream): Readonly<{ tenant: string; name: string }> {
  const [, second, , last] = label.split(':')[0]?.split('.') ?? []
  return { tenant: tenants[Number(second)] ?? 'nobody', name: names[Number(last) - 1] ?? '' }
}

const membersOf = (rule: BuiltRule): readonly Upstream[] =>
  rule.variants.flatMap(({ target }) => (target.kind === 'unresolved' ? [] : target.group.members))

const permitted = ({ grants }: World, from: string, to: string, name: string, kind = 'Service') => from === to
  || grants.some((grant) => grant.kind === kind && grant.from === from && grant.to === to && (grant.name ?? name) === name)

const request = (host: string, path: string): Matchable => ({
  method: 'GET', host, path, clientAddress: '192.0.2.1', header: () => undefined, parameter: () => undefined, model: () => undefined, verdict: () => undefined, country: undefined, modelUnread: false, value: () => undefined, facts: () => { throw new Error('not asked') },
})

const optionsOf = ({ bindings }: World): CompileOptions =>
  ({ pepper: Buffer.from('pepper'), allowUrls: [], allowLoopback: false, allowUnmanagedEndpointSlices: false, hostnameBindings: bindings })

const covers = (wide: string, host: string) => wide === host || wide === '*' || (wide.startsWith('*.') && host.endsWith(wide.slice(1)))
/** Of the names that cover a host, the most specific. */
const nearest = (host: string, among: readonly string[]) =>
  among.filter((wide) => covers(wide, host)).sort((a, b) => Number(a.startsWith('*')) - Number(b.startsWith('*')) || b.length - a.length)[0]

test('no request, endpoint, connection or reference of one tenant is ever another\'s', async () => {
  const blank = (await readManifests([])).snapshot
  let served = 0
  let foreign = 0
  let limited = 0
  let secret = 0
  await fc.assert(fc.asyncProperty(worlds, async (world) => {
    const fleet = createCompiler(optionsOf(world))(snapshotOf(world, blank)).fleets.get('default')
    assert.ok(fleet)
    const runtime = createRuntime()
    assert.deepEqual(runtime.activate({ version: '1', ...fleet }), [])
    const table = runtime.table()
    assert.ok(table)
    /** Whose each connection pool is. */
    const pools = new Map<Upstream, string>()
    const find = (host: string, path: string): BuiltRule | undefined => table.find(request(host, path))?.rule
    for (const host of asked) {
      const owners = new Set<string>()
      for (const path of [...paths, '/v1/x/y', '/else']) {
        const rule = find(host, path)
        if (rule === undefined) continue
        served++
        const tenant = rule.route.split('/')[0] ?? ''
        owners.add(tenant)
        for (const upstream of membersOf(rule)) {
          const there = placeOf(upstream)
          if (there.tenant !== tenant) foreign++
          assert.ok(permitted(world, tenant, there.tenant, there.name), `${tenant} reaches ${upstream.label}`)
          assert.equal(pools.get(upstream) ?? tenant, tenant, 'a pool of two tenants')
          pools.set(upstream, tenant)
        }
      }
      const bound = nearest(host, world.bindings.map((binding) => binding.host))
      const named = world.routes.flatMap((route) => route.hosts)
      const owned = nearest(host, [...named, ...world.bindings.map((binding) => binding.host)])
      if (bound !== undefined && owned === bound) {
        const admitted = world.bindings.filter((binding) => binding.host === bound).map(({ namespace }) => namespace as string)
        for (const owner of owners) assert.ok(admitted.includes(owner), `${host} is bound to ${admitted.join()} and served by ${owner}`)
      } else if (owned !== undefined && bound === undefined) {
        assert.ok(owners.size <= 1, `${host} is served by ${[...owners].join()}`)
        const oldest = world.routes.find((route) => route.hosts.includes(host))
        const wider = world.routes.findIndex((route) => route.hosts.some((name) => name !== host && covers(name, host)))
        const at = world.routes.findIndex((route) => route === oldest)
        if (oldest && (wider === -1 || at < wider)) for (const owner of owners) assert.equal(owner, oldest.tenant)
      }
    }
    const named = new Set<string>()
    for (const route of fleet.routes.values()) for (const [kind, to] of referencesOf(route)) {
      named.add(to)
      const [there = '', name = ''] = to.replace('?', '/').replace(/:\d+$/, '').split('/')
      const may = to === 'none' || permitted(world, route.tenant, there, name, kind === 'secret' ? 'Secret' : kind === 'endpoints' ? 'Service' : 'nothing')
      assert.ok(may, `${route.id} names the ${kind} ${to}`)
      if (kind === 'policy') limited++
      if (kind === 'secret' && to !== 'none') secret++
    }
    // What no route may name is not even told to the proxy.
    for (const id of [...fleet.secrets.keys(), ...fleet.credentials.keys()]) assert.ok(id === 'pepper' || named.has(id), id)
    for (const { id, keys } of fleet.credentials.values()) for (const key of keys) assert.equal(key.consumer, id.split('?')[0])
    await runtime.close()
  }), { numRuns: runs(500) })
  assert.ok(served > 1000 && foreign > 0 && limited > 0 && secret > 0, `${served} served, ${foreign} by a grant, ${limited} limited, ${secret} with a secret`)
})

/** Every name of something beside the routes, wherever in the item it stands. */
function referencesOf(route: Route): (readonly ['keys' | 'endpoints' | 'secret' | 'policy', string])[] {
  const found: (readonly ['keys' | 'endpoints' | 'secret' | 'policy', string])[] = []
  JSON.stringify(route, (key, value: unknown) => {
    if (typeof value !== 'string') return value
    if (key === 'set') found.push([value.includes('?') ? 'keys' : 'endpoints', value])
    else if (key === 'secret' || key === 'client') found.push(['secret', value])
    // A way of balancing is called a policy too.
    else if (key === 'policy' && value.includes('/')) found.push(['policy', value])
    return value
  })
  return found
}

test('what exists behind a reference that is not permitted cannot be told from what does not', async () => {
  const blank = (await readManifests([])).snapshot
  await fc.assert(fc.asyncProperty(worlds, tenant, async (world, me) => {
    const forbidden = (to: Place) => !permitted(world, me, to.tenant, to.name)
    const sealed = (to: Place) => !permitted(world, me, to.tenant, to.name, 'Secret')
    const told = (given: World) => {
      const { routes, fleets } = createCompiler(optionsOf(given))(snapshotOf(given, blank))
      const mine = <T>(entries: Iterable<[string, T]>) => [...entries].filter(([id]) => id.startsWith(`${me}/`))
      return JSON.stringify([mine(routes), mine(fleets.get('default')?.routes ?? new Map())])
    }
    const all = tenants.flatMap((of) => names.map((name) => ({ tenant: of, name })))
    const without = world.services.filter((to) => !forbidden(to))
    const bare = world.secrets.filter((to) => !sealed(to))
    assert.equal(
      told({ ...world, services: [...without, ...all.filter(forbidden)], secrets: [...bare, ...all.filter(sealed)] }),
      told({ ...world, services: without, secrets: bare }),
    )
  }), { numRuns: 300 })
})

import type { Endpoint, EndpointSet } from '../../table/endpoints.ts'
import type { Route, Rule, Variant } from '../../table/route.ts'
import type { Activate } from '../store.ts'

/** The model server that a sidecar stands before. */
export type Guard = Readonly<{
  /** On the sidecar's own machine, which a pod's containers share. */
  port: number
  /** The Service that its pod is behind: rules with other backends are then none of its business. Absent: all are. */
  service?: string | undefined
}>

const SET = 'sidecar'

/** Puts the tables in force with the pod's own model server in place of every backend. */
export function guarding(guard: Guard, activate: Activate): Activate {
  const self: Endpoint = { address: '127.0.0.1', port: guard.port }
  const endpoints = new Map<string, EndpointSet>([[SET, { id: SET, endpoints: [self] }]])
  // A route that did not change must be the same object, so that nothing of it is built again.
  const known = new WeakMap<Route, Route>()
  const ownOf = (route: Route): Route => {
    const own = known.get(route) ?? guardedRoute(route, guard)
    known.set(route, own)
    return own
  }
  return (next) => activate({ ...next, endpoints, routes: new Map([...next.routes].map(([id, route]) => [id, ownOf(route)])) })
}

/** The route with one backend. A rule that has nothing to do with this server is left out. */
function guardedRoute(route: Route, guard: Guard): Route {
  return { ...route, rules: route.rules.flatMap((rule) => guardedRule(rule, route.tenant, guard)) }
}

/**
 * Who calls, what they may, limits, checks and changes stay. What chooses between backends, asks several of them, or judges
 * one against another was decided before the request came here.
 */
function guardedRule(rule: Rule, tenant: string, { service }: Guard): readonly Rule[] {
  const {
    split: _split, mirror: _mirror, measured: _measured, hedge: _hedge, compose, wakeUp: _wakeUp,
    overrides: _overrides, variants, ...kept
  } = rule
  const candidates = variants.filter((variant) => service === undefined || isOf(variant, `${tenant}/${service}:`))
  const [first] = candidates.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight)
  if (first === undefined || compose !== undefined) return []
  const { credentials: _credentials, target, ...variant } = first
  return [{
    ...kept,
    overrides: [],
    variants: [{
      ...variant,
      weight: 1_000_000,
      priority: 0,
      target: {
        kind: 'endpoints', set: SET,
        ...(target.kind === 'endpoints' && target.host !== undefined && { host: target.host }),
        ...(target.kind === 'endpoints' && target.http2 && { http2: true as const }),
      },
    }],
  }]
}

function isOf({ target }: Variant, prefix: string): boolean {
  return target.kind === 'endpoints' && target.set.startsWith(prefix)
}

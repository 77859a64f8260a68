import type { Asks } from '../sources/snapshot.ts'
import type { RouteSpec } from './spec.ts'

/** What holds for a rule: its own replaces the route's. */
export function asksOf(rule: Asks | undefined, route: Asks): Asks {
  return { auth: rule?.auth ?? route.auth, authorization: rule?.authorization ?? route.authorization }
}

export function isOpen({ auth, authorization }: Asks): boolean {
  return auth === undefined && authorization === undefined
}

/**
 * Whether an older version of a rule may go on in place of one that does not hold. Who adds `auth`, or changes it,
 * wants the rule guarded in that way from then on; to go on serving the other one would be the opposite.
 */
export function mayStandIn(older: Asks, wanted: Asks): boolean {
  return isOpen(wanted) || canonical([older.auth, older.authorization]) === canonical([wanted.auth, wanted.authorization])
}

/** A rule of another spec, with what it had from there. */
export function takeAlong(rule: RouteSpec['rules'][number], from: RouteSpec): RouteSpec['rules'][number] {
  const auth = rule.auth ?? from.auth
  const authorization = rule.authorization ?? from.authorization
  return { ...rule, ...(auth && { auth }), ...(authorization && { authorization }) }
}

/** JSON whose text does not depend on the order of keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner)
}

import { changedMap, differences } from '../../table/changes.ts'
import { perResource, type Share } from '../../table/resources.ts'
import type { PepperId } from '../../table/secrets.ts'

/**
 * What of a fleet's table belongs to a namespace: its routes, the endpoints of its Services, its keys' digests and its
 * Secrets. Whoever may make pods there may read all of these without us, so its sidecars learn nothing of other tenants,
 * nor what those granted to routes of this one.
 * @returns its share of each table that follows, which is worked out from the last one
 */
export function createScope(namespace: string): (whole: Share) => Share {
  const pepper: PepperId = 'pepper'
  const isOurs = (id: string): boolean => id.startsWith(`${namespace}/`)
  let before = perResource<Share>(() => new Map())
  let share = before
  return (whole) => {
    share = {
      routes: narrowed(share.routes, before.routes, whole.routes, (_, { tenant }) => tenant === namespace),
      endpoints: narrowed(share.endpoints, before.endpoints, whole.endpoints, isOurs),
      credentials: narrowed(share.credentials, before.credentials, whole.credentials, (id) => id.startsWith(`${namespace}?`)),
      // With the pepper no key can be found, only a guess at one checked, and only against digests that are here too.
      secrets: narrowed(share.secrets, before.secrets, whole.secrets, (id) => id === pepper || isOurs(id)),
    }
    before = whole
    return share
  }
}

function narrowed<T>(
  known: ReadonlyMap<string, T>, before: ReadonlyMap<string, T>, whole: ReadonlyMap<string, T>, belongs: (id: string, item: T) => boolean,
): ReadonlyMap<string, T> {
  return changedMap(known, [...differences(before, whole)].map((id) => {
    const item = whole.get(id)
    return [id, item !== undefined && belongs(id, item) ? item : undefined] as const
  }))
}

import { differences } from '../../table/changes.ts'
import type { ModelRoute } from '../../crds/types.gen.ts'
import type { Resource, Snapshot } from '../sources/snapshot.ts'
import { compileRoute, type RouteDraft } from './routes.ts'
import type { CompileOptions, RouteSpec } from './spec.ts'
import { aboutRollouts, changed, type Lookup, observed, sameWorld, worldOf } from './world.ts'

export type Drafts = Readonly<{
  /** Sorted, so that nothing downstream depends on the order in which the world was read. */
  ids: readonly string[]
  byId: ReadonlyMap<string, RouteDraft>
  /** Compiled anew, or gone. */
  touched: ReadonlySet<string>
}>

type Entry = Readonly<{ resource: Resource<ModelRoute>; draft: RouteDraft; lookups: readonly Lookup[]; moved: readonly Lookup[] }>

/** The spec of a route that was last in force. */
export type LastGood = (id: string, uid: string) => RouteSpec | undefined

/** Compiles a route when it, or something it looked at, changed; otherwise what was compiled before still stands. */
export function createDrafts(options: CompileOptions, lastGood: LastGood): (snapshot: Snapshot) => Drafts {
  const entries = new Map<string, Entry>()
  const byId = new Map<string, RouteDraft>()
  let ids: readonly string[] = []
  let before: Snapshot | undefined

  return (snapshot) => {
    const routes = snapshot.modelRoutes
    const sameElsewhere = before !== undefined && sameWorld(before, snapshot)
    const sameRollouts = before?.rollouts === snapshot.rollouts
    if (sameElsewhere && sameRollouts && before?.modelRoutes === routes) return { ids, byId, touched: new Set() }
    const candidates = before && candidatesOf(before, snapshot)
    before = snapshot

    const touched = new Set<string>()
    let others = false
    for (const id of candidates ?? ids) {
      if (routes.has(id)) {
        others ||= !entries.has(id)
        continue
      }
      if (entries.delete(id)) touched.add(id)
      byId.delete(id)
    }
    if (candidates === undefined || others || touched.size > 0) ids = [...routes.keys()].sort()

    const world = worldOf(snapshot)
    for (const id of candidates ? [...candidates].sort() : ids) {
      const resource = routes.get(id)
      const known = entries.get(id)
      if (!resource) continue
      const look = known && (sameElsewhere ? (sameRollouts ? [] : known.moved) : known.lookups)
      if (look && known?.resource === resource && !changed(look, world)) continue
      const lookups: Lookup[] = []
      const good = lastGood(id, resource.uid)
      const draft = compileRoute(id, resource, { world: observed(world, lookups), options, good })
      entries.set(id, { resource, draft, lookups, moved: lookups.filter(aboutRollouts) })
      byId.set(id, draft)
      touched.add(id)
    }
    return { ids, byId, touched }
  }
}

/** The routes that may come out otherwise; undefined: all. Of its rollout and its revision, each looks at its own. */
function candidatesOf(before: Snapshot, snapshot: Snapshot): ReadonlySet<string> | undefined {
  if (!sameWorld(before, { ...snapshot, revisions: before.revisions })) return undefined
  const none = new Map<string, never>()
  return new Set([
    ...differences(before.modelRoutes, snapshot.modelRoutes),
    ...differences(before.revisions, snapshot.revisions),
    ...differences(before.rollouts ?? none, snapshot.rollouts ?? none),
  ])
}

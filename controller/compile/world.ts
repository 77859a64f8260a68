import type { InferenceService, Revision, Service, Snapshot } from '../sources/snapshot.ts'
import { permissions, type Permits, type Referent } from './references.ts'

/** What compiling one route may look at besides the route itself. Keys are `namespace/name`. */
export type World = Readonly<{
  service: (key: string) => Service | undefined
  inferenceService: (key: string) => InferenceService | undefined
  revision: (key: string) => Revision | undefined
  permits: Permits
}>

/** A look somebody took, and what they saw. */
export type Lookup = Readonly<{ again: (world: World) => unknown; saw: unknown }>

export function worldOf(snapshot: Snapshot): World {
  let permits: Permits | undefined
  return {
    service: (key) => snapshot.services.get(key),
    inferenceService: (key) => snapshot.inferenceServices.get(key),
    revision: (key) => snapshot.revisions.get(key),
    permits: (namespace, referent) => (permits ??= permissions(snapshot.referenceGrants))(namespace, referent),
  }
}

/** The same world, writing down every look. Objects keep their identity while they do not change, so `===` tells. */
export function observed(world: World): Readonly<{ world: World; lookups: readonly Lookup[] }> {
  const lookups: Lookup[] = []
  const look = <T>(again: (world: World) => T): T => {
    const saw = again(world)
    lookups.push({ again, saw })
    return saw
  }
  return {
    lookups,
    world: {
      service: (key) => look((world) => world.service(key)),
      inferenceService: (key) => look((world) => world.inferenceService(key)),
      revision: (key) => look((world) => world.revision(key)),
      permits: (namespace: string, referent: Referent) => look((world) => world.permits(namespace, referent)),
    },
  }
}

/** Whether anybody would see something else now. */
export function changed(lookups: readonly Lookup[], world: World): boolean {
  return lookups.some(({ again, saw }) => again(world) !== saw)
}

/** Whether nothing that a route may look at has changed at all: the usual case, where only endpoints did. */
export function sameWorld(a: Snapshot, b: Snapshot): boolean {
  return (
    a.services === b.services &&
    a.inferenceServices === b.inferenceServices &&
    a.revisions === b.revisions &&
    a.referenceGrants === b.referenceGrants
  )
}

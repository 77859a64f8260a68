import type { InferenceService, Revision, RuleRollout, Service, Snapshot } from '../sources/snapshot.ts'
import { permissions, type Permits, type Referent } from './references.ts'

/** What compiling one route may look at besides the route itself. Keys are `namespace/name`. */
export type World = Readonly<{
  service: (key: string) => Service | undefined
  inferenceService: (key: string) => InferenceService | undefined
  revision: (key: string) => Revision | undefined
  /** Whether there is one with that key. Its value is none of a route's: another one compiles no route anew. */
  secretHas: (key: string, field: string) => boolean
  configMapHas: (key: string, field: string) => boolean
  /** What it holds under that key, as text: a part of the route that names it. */
  configMapText: (key: string, field: string) => string | undefined
  secretsReadable: (namespace: string) => boolean
  permits: Permits
  /** What is in force of a rule (`rule`) of a route: undefined where it was never seen. */
  rollout: (route: string, rule: string) => RuleRollout | undefined
  /** The same, for those who only ask whether its backendRefs are replaced. */
  undone: (route: string, rule: string) => RuleRollout['undone']
}>

/** A look that somebody took, and what they saw. */
export type Lookup =
  | Readonly<{ at: 'service' | 'inferenceService' | 'revision'; key: string; saw: unknown }>
  | Readonly<{ at: 'secretHas' | 'configMapHas'; key: string; field: string; saw: boolean }>
  | Readonly<{ at: 'configMapText'; key: string; field: string; saw: string | undefined }>
  | Readonly<{ at: 'secretsReadable'; namespace: string; saw: boolean }>
  | Readonly<{ at: 'rollout' | 'undone'; key: string; rule: string; saw: unknown }>
  | Readonly<{ at: 'permits'; namespace: string; referent: Referent; saw: boolean }>

export function worldOf(snapshot: Snapshot): World {
  let permits: Permits | undefined
  return {
    service: (key) => snapshot.services.get(key),
    inferenceService: (key) => snapshot.inferenceServices.get(key),
    revision: (key) => snapshot.revisions.get(key),
    secretHas: (key, field) => snapshot.secrets.get(key)?.data.has(field) ?? false,
    configMapHas: (key, field) => snapshot.configMaps.get(key)?.data.has(field) ?? false,
    configMapText: (key, field) => {
      const data = snapshot.configMaps.get(key)?.data.get(field)
      return data === undefined ? undefined : Buffer.from(data, 'base64').toString()
    },
    secretsReadable: (namespace) => snapshot.openNamespaces.has(namespace),
    rollout: (route, rule) => snapshot.rollouts?.get(route)?.get(rule),
    undone: (route, rule) => snapshot.rollouts?.get(route)?.get(rule)?.undone,
    permits: (namespace, referent) => (permits ??= permissions(snapshot.referenceGrants))(namespace, referent),
  }
}

/** The same world, writing down every look into `lookups`. */
export function observed(world: World, lookups: Lookup[]): World {
  return {
    service: (key) => {
      const saw = world.service(key)
      lookups.push({ at: 'service', key, saw })
      return saw
    },
    inferenceService: (key) => {
      const saw = world.inferenceService(key)
      lookups.push({ at: 'inferenceService', key, saw })
      return saw
    },
    revision: (key) => {
      const saw = world.revision(key)
      lookups.push({ at: 'revision', key, saw })
      return saw
    },
    secretHas: (key, field) => {
      const saw = world.secretHas(key, field)
      lookups.push({ at: 'secretHas', key, field, saw })
      return saw
    },
    configMapHas: (key, field) => {
      const saw = world.configMapHas(key, field)
      lookups.push({ at: 'configMapHas', key, field, saw })
      return saw
    },
    configMapText: (key, field) => {
      const saw = world.configMapText(key, field)
      lookups.push({ at: 'configMapText', key, field, saw })
      return saw
    },
    secretsReadable: (namespace) => {
      const saw = world.secretsReadable(namespace)
      lookups.push({ at: 'secretsReadable', namespace, saw })
      return saw
    },
    rollout: (key, rule) => {
      const saw = world.rollout(key, rule)
      lookups.push({ at: 'rollout', key, rule, saw })
      return saw
    },
    undone: (key, rule) => {
      const saw = world.undone(key, rule)
      lookups.push({ at: 'undone', key, rule, saw })
      return saw
    },
    permits: (namespace, referent) => {
      const saw = world.permits(namespace, referent)
      lookups.push({ at: 'permits', namespace, referent, saw })
      return saw
    },
  }
}

/** Whether anybody would see something else now: objects keep their identity while they do not change. */
export function changed(lookups: readonly Lookup[], world: World): boolean {
  return lookups.some((look) => {
    if (look.at === 'secretHas' || look.at === 'configMapHas' || look.at === 'configMapText') return world[look.at](look.key, look.field) !== look.saw
    if (look.at === 'rollout' || look.at === 'undone') return world[look.at](look.key, look.rule) !== look.saw
    if (look.at === 'secretsReadable') return world.secretsReadable(look.namespace) !== look.saw
    if (look.at === 'permits') return world.permits(look.namespace, look.referent) !== look.saw
    return world[look.at](look.key) !== look.saw
  })
}

/** Of these, what a move of some rollout could change; there are none of them in most routes. */
export function aboutRollouts(look: Lookup): boolean {
  return look.at === 'rollout' || look.at === 'undone'
}

/** Whether nothing that a route may look at, rollouts aside, has changed at all: the usual case, where only endpoints did. */
export function sameWorld(a: Snapshot, b: Snapshot): boolean {
  return (
    a.services === b.services &&
    a.inferenceServices === b.inferenceServices &&
    a.revisions === b.revisions &&
    a.secrets === b.secrets &&
    a.configMaps === b.configMaps &&
    a.openNamespaces === b.openNamespaces &&
    a.referenceGrants === b.referenceGrants
  )
}

import type { ReferenceGrant, Snapshot } from '../sources/snapshot.ts'

/** Who refers: always a route of ours, so only its namespace varies. */
const FROM = { group: 'modelroute.io', kind: 'ModelRoute' } as const

export type Referent = Readonly<{ group: string; kind: string; namespace: string; name: string }>

export type Permits = (namespace: string, referent: Referent) => boolean

/** Whether a route of one namespace may refer to something in another: when a grant there says so. */
export function permissions(grants: Snapshot['referenceGrants']): Permits {
  const byNamespace = new Map<string, ReferenceGrant[]>()
  for (const grant of grants.values()) {
    const there = byNamespace.get(grant.metadata.namespace)
    if (there) there.push(grant)
    else byNamespace.set(grant.metadata.namespace, [grant])
  }
  return (namespace, referent) =>
    (byNamespace.get(referent.namespace) ?? []).some(({ spec }) => admits(spec, namespace, referent))
}

function admits(spec: ReferenceGrant['spec'], namespace: string, to: Referent): boolean {
  return (
    spec.from.some((from) => from.group === FROM.group && from.kind === FROM.kind && from.namespace === namespace) &&
    spec.to.some(({ group, kind, name }) => group === to.group && kind === to.kind && (!name || name === to.name))
  )
}

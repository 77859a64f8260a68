import type { Secret as Shared } from '../../table/secrets.ts'
import type { Problem, Snapshot } from '../sources/snapshot.ts'
import type { Needs } from './needs.ts'
import { unresolved } from './problems.ts'
import type { BackendContext } from './targets.ts'

/** One value of a Secret (or, where that has none, of the ConfigMap of its name) that a route names. */
export type SecretSource = Readonly<{ id: string; key: string; configMap: boolean }>

type Reference = Readonly<{ name: string; namespace?: string }>

/**
 * What a reference to a Secret came to. `why`: it leads nowhere, and the problem is told already; the id is then that of
 * no secret, since proxies may well have the one that was asked for, for somebody who may use it.
 */
export type SecretUse = Readonly<{ id: string; why?: string }>

/**
 * Notes that a rule needs these keys of a Secret, and checks that it may have them. A Secret that is not there reads
 * like one that may not be read.
 * @param place where the reference stands
 * @param configMap a ConfigMap of that name will do
 */
export function useSecret(
  ref: Reference,
  keys: readonly string[],
  place: string,
  { namespace: from, world }: Pick<BackendContext, 'namespace' | 'world'>,
  { needs, problems, configMap = false }: Readonly<{ needs: Needs; problems: Problem[]; configMap?: boolean }>,
): SecretUse {
  const namespace = ref.namespace ?? from
  const id = `${namespace}/${ref.name}`
  const what = configMap ? `Secret or ConfigMap ${id}` : `Secret ${id}`
  const refuse = (why: string): SecretUse => {
    problems.push(unresolved(place, 'RefNotPermitted', why))
    return { id: `refused:${id}`, why }
  }
  const granted = (kind: 'Secret' | 'ConfigMap') =>
    namespace === from || world.permits(from, { group: '', kind, namespace, name: ref.name })
  const secret = granted('Secret')
  const map = configMap && granted('ConfigMap')
  // Before looking whether it exists: a missing and a forbidden one read the same.
  if (!secret && !map) return refuse(`no ReferenceGrant in namespace ${namespace} lets a ModelRoute of ${from} refer to ${what}`)
  const has = (key: string) => (secret && world.secretHas(id, key)) || (map && world.configMapHas(id, key))
  const missing = keys.filter((key) => !has(key))
  if (missing.length > 0) {
    if (!map && !world.secretsReadable(namespace)) {
      return refuse(`the controller may not read Secrets of namespace ${namespace}; add it to secretNamespaces`)
    }
    return refuse(`${what} does not exist, or has no ${missing.join(' and no ')}`)
  }
  for (const key of keys) needs.secrets.push({ id, key, configMap: map && !(secret && world.secretHas(id, key)) })
  return { id }
}

/** The values that are named of one Secret. One that is gone is empty, for as long as a route names it. */
export function compileSecret(id: string, sources: readonly SecretSource[], { secrets, configMaps }: Snapshot): Shared {
  const values = new Map<string, string>()
  for (const { key, configMap } of sources) {
    const value = configMap ? configMaps.get(id)?.data.get(key) : secrets.get(id)?.data.get(key)
    if (value !== undefined) values.set(key, value)
  }
  return { id, data: Object.fromEntries([...values].sort(([a], [b]) => (a < b ? -1 : 1))) }
}

// A container's environment and command line, as the kubelet computes them: `env` over `envFrom`, references resolved,
// $(NAME) expanded, $$ an escape.
import type { Configs } from './configs.ts'
import type { ContainerSpec, PodObject } from './spec.ts'

/** A reference that cannot be resolved yet; the container waits for it as CreateContainerConfigError. */
export class NotYet extends Error {}

export type PodFacts = Readonly<{ pod: PodObject, ip: string, node: string, hostIP: string }>

export function environment(container: ContainerSpec, facts: PodFacts, configs: Configs, base: Record<string, string>) {
  const { namespace } = facts.pod.metadata
  const env = new Map(Object.entries(base))
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const kind = secretRef ? 'Secret' : 'ConfigMap'
    const ref = secretRef ?? configMapRef
    if (!ref) continue
    const data = configs.data(kind, namespace, ref.name)
    if (!data && !ref.optional) throw new NotYet(`${kind.toLowerCase()} "${ref.name}" not found`)
    for (const [key, value] of data ?? []) env.set(prefix + key, value.toString('utf8'))
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom?.fieldRef) env.set(name, field(valueFrom.fieldRef.fieldPath, facts))
    else if (valueFrom?.secretKeyRef ?? valueFrom?.configMapKeyRef) {
      const kind = valueFrom.secretKeyRef ? 'Secret' : 'ConfigMap'
      const ref = (valueFrom.secretKeyRef ?? valueFrom.configMapKeyRef)!
      const found = configs.data(kind, namespace, ref.name)?.get(ref.key)
      if (found !== undefined) env.set(name, found.toString('utf8'))
      else if (!ref.optional) throw new NotYet(`couldn't find key ${ref.key} in ${kind} ${namespace}/${ref.name}`)
    } else env.set(name, expand(value ?? '', env))
  }
  return env
}

/** `$(NAME)` of a known name becomes its value, of an unknown one stays; `$$` is a dollar. */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\$|\$\(([^()]+)\)/g, (whole, name: string | undefined) =>
    whole === '$$' ? '$' : env.get(name ?? '') ?? whole)
}

/** The value of a downward API field path. Throws for a path that is not known here. */
export function field(path: string, { pod, ip, node, hostIP }: PodFacts): string {
  const { metadata, spec } = pod
  const keyed = /^metadata\.(labels|annotations)(?:\['(.+)'\])?$/.exec(path)
  if (keyed) {
    const map = (keyed[1] === 'labels' ? metadata.labels : metadata.annotations) ?? {}
    if (keyed[2] !== undefined) return map[keyed[2]] ?? ''
    return Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}=${JSON.stringify(value)}`).join('\n')
  }
  const fields = new Map<string, string>([
    ['metadata.name', metadata.name],
    ['metadata.namespace', metadata.namespace],
    ['metadata.uid', metadata.uid],
    ['spec.nodeName', node],
    ['spec.serviceAccountName', spec.serviceAccountName ?? 'default'],
    ['status.podIP', ip],
    ['status.podIPs', ip],
    ['status.hostIP', hostIP],
    ['status.hostIPs', hostIP],
  ])
  const value = fields.get(path)
  if (value === undefined) throw new Error(`the downward API field ${path} is not emulated`)
  return value
}

import type { ModelRouteStatus, RateLimitPolicyStatus } from '../crds/types.gen.ts'
import type { Hashes } from '../table/version.ts'
import type { Compiled } from './compile/compiled.ts'
import type { ProxyView } from './push/publish.ts'
import type { Resource, Snapshot } from './sources/snapshot.ts'
import { policyStatus, reaches, routeStatus, type Progress } from './status.ts'

/** Everything that is known at one moment about what was asked for and what is in force. */
export type View = Readonly<{
  snapshot: Snapshot
  compiled: Compiled
  proxies: readonly ProxyView[]
  hashes: (gateway: string) => Hashes
  progress: (route: string) => Progress
  /** The routes whose progress may be another than at the last report; absent: any. */
  progressed?: ReadonlySet<string> | undefined
}>

/** The statuses of all resources, for whoever asks on the control port: the cluster's are written by the leader only. */
export class Statuses {
  #routes = new Map<string, ModelRouteStatus>()
  #policies = new Map<string, RateLimitPolicyStatus>()

  /** The resources as `kubectl get -o json` would show them; conditions keep the time of their last change. */
  items({ snapshot, compiled, proxies, hashes, progress }: View, now: Date): readonly unknown[] {
    const routes = new Map<string, ModelRouteStatus>()
    const policies = new Map<string, RateLimitPolicyStatus>()
    const reachOf = reaches(proxies, hashes)
    for (const [key, outcome] of compiled.routes) {
      const reach = reachOf(key, outcome.gateways)
      routes.set(key, routeStatus({ outcome, reach, progress: progress(key), previous: this.#routes.get(key), now }))
    }
    const programmed = (namespace: string) => (name: string) =>
      routes.get(`${namespace}/${name}`)?.conditions?.some(({ type, status }) => type === 'Programmed' && status === 'True')
    for (const [key, outcome] of compiled.policies) {
      const namespace = key.split('/', 1)[0] ?? ''
      const previous = this.#policies.get(key)
      policies.set(key, policyStatus({ outcome, programmed: programmed(namespace), previous, now }))
    }
    this.#routes = routes
    this.#policies = policies
    return [
      ...shown('ModelRoute', snapshot.modelRoutes, routes),
      ...shown('RateLimitPolicy', snapshot.rateLimitPolicies, policies),
    ]
  }
}

function shown(
  kind: string,
  resources: ReadonlyMap<string, Resource<{ spec: unknown }>>,
  statuses: ReadonlyMap<string, unknown>,
): unknown[] {
  return [...resources].map(([key, { namespace, name, generation, object }]) => ({
    apiVersion: 'modelroute.io/v1alpha1',
    kind,
    metadata: { namespace, name, generation },
    ...(object && { spec: object.spec }),
    status: statuses.get(key),
  }))
}

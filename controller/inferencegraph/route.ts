import type { ModelRoute } from '../../crds/types.gen.ts'
import { readGraph, type Told } from './spec.ts'
import { composeOf } from './steps.ts'
import type { ProtocolOf } from './target.ts'

/** Where the route is to be reached: KServe's router takes whatever comes to its own host. */
export type Reached = Readonly<{ hostnames: readonly string[]; path: string | undefined }>

/** A route that does what an InferenceGraph does, and what of it is told; without one where there is an error. */
export function routeOf(object: unknown, reached: Reached, protocolOf: ProtocolOf): Readonly<{ route: ModelRoute | undefined; told: readonly Told[] }> {
  const told: Told[] = []
  const graph = readGraph(object, told)
  if (graph === undefined) return { route: undefined, told }
  const { name, namespace, timeout } = graph
  const compose = composeOf(graph, protocolOf, told)
  // A node that several steps lead to is gone through for each of them.
  const once = [...new Map(told.map((one) => [JSON.stringify([one.path, one.message]), one])).values()]
  if (told.some(({ severity }) => severity === 'error')) return { route: undefined, told: once }
  const { hostnames, path = hostnames.length > 0 ? '/' : `/graphs/${namespace}/${name}` } = reached
  const route: ModelRoute = {
    apiVersion: 'modelroute.io/v1alpha1',
    kind: 'ModelRoute',
    metadata: { name, namespace },
    spec: {
      ...(hostnames.length > 0 && { hostnames: [...hostnames] }),
      rules: [{
        name: 'graph',
        matches: [{ path: { type: 'PathPrefix', value: path }, method: 'POST' }],
        ...(timeout !== undefined && { timeouts: { request: `${timeout}s` } }),
        compose,
      }],
    },
  }
  return { route, told: once }
}

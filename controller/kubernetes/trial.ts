import * as v from 'valibot'
import type { Api, Answer } from './api.ts'
import { pathOf } from './api.ts'
import { API_VERSION, MODEL_ROUTES } from './kinds.ts'
import { answered } from './trouble.ts'

const ConditionSchema = v.object({
  type: v.string(), status: v.string(), reason: v.string(), message: v.optional(v.string(), ''), observedGeneration: v.optional(v.number()),
})

const RouteSchema = v.object({
  metadata: v.object({ name: v.string(), generation: v.number() }),
  status: v.optional(v.object({ conditions: v.optional(v.array(ConditionSchema), []) }), {}),
})

export type TrialRoute = v.InferOutput<typeof RouteSchema>

/** `owner`: the Pod that the route is deleted with. */
export type Trial = Readonly<{
  gateways: readonly string[]
  host: string
  path: string
  service: string
  port: number
  owner: Readonly<{ name: string; uid: string }> | undefined
}>

/** Routes that are made to see whether they work, and taken away again. Throws what the server says. */
export function trialRoutes(api: Api, namespace: string) {
  return {
    /** @returns its name, which no other has */
    async create({ gateways, host, path, service, port, owner }: Trial): Promise<string> {
      const ownerReferences = owner === undefined ? [] : [{ apiVersion: 'v1', kind: 'Pod', ...owner }]
      const body = {
        apiVersion: API_VERSION,
        kind: 'ModelRoute',
        metadata: { generateName: 'selftest-', namespace, ownerReferences },
        spec: {
          gatewayNames: gateways,
          hostnames: [host],
          rules: [{
            name: 'selftest',
            matches: [{ path: { type: 'Exact', value: path } }],
            backendRefs: [{ variant: 'selftest', name: service, port }],
          }],
        },
      }
      return routeOf(await api.call({ method: 'POST', path: pathOf(MODEL_ROUTES, namespace), body })).metadata.name
    },
    async read(name: string): Promise<TrialRoute> {
      return routeOf(await api.call({ path: pathOf(MODEL_ROUTES, namespace, name) }))
    },
    async remove(name: string): Promise<void> {
      answered(await api.call({ method: 'DELETE', path: pathOf(MODEL_ROUTES, namespace, name) }))
    },
  }
}

function routeOf(answer: Answer): TrialRoute {
  const route = v.safeParse(RouteSchema, answered(answer).body)
  if (!route.success) throw new Error('the cluster answers with something that is no ModelRoute')
  return route.output
}

import type * as v from 'valibot'
import { KeySetSchema, type KeySet } from './credentials.ts'
import { EndpointSetSchema, type EndpointSet } from './endpoints.ts'
import { RouteSchema, type Route } from './route.ts'
import { SecretSchema, type Secret } from './secrets.ts'

/** What travels to a proxy, each with a version of its own, so that a change of one rebuilds nothing of the others. */
export type Items = Readonly<{ endpoints: EndpointSet; credentials: KeySet; secrets: Secret; routes: Route }>

export type Resource = keyof Items

/** What one fleet serves with: the items of each resource by id. */
export type Share = { readonly [R in Resource]: ReadonlyMap<string, Items[R]> }

/** In the order in which they are sent: a route is never in force before what it names. */
export const RESOURCES = ['endpoints', 'credentials', 'secrets', 'routes'] as const satisfies readonly Resource[]

export const schemas: { readonly [R in Resource]: v.GenericSchema<unknown, Items[R]> } = {
  endpoints: EndpointSetSchema,
  credentials: KeySetSchema,
  secrets: SecretSchema,
  routes: RouteSchema,
}

/** Never written to disk, and sent only where nobody can listen: in a process, over loopback, over mutual TLS. */
export function confidential(resource: Resource): boolean {
  return resource === 'secrets'
}

/** The same for each of the resources. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what the caller says that it makes
export function perResource<T extends { readonly [R in Resource]: unknown }>(of: (resource: Resource) => unknown): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each key is there, with the value of its kind
  return Object.fromEntries(RESOURCES.map((resource) => [resource, of(resource)])) as T
}

import type { ModelRoute } from '../../crds/types.gen.ts'
import { validateModelRoute } from '../../crds/validate.ts'

/** Whether a spec that was stored elsewhere is one that a route could have today. */
export function isRouteSpec(spec: unknown): spec is ModelRoute['spec'] {
  const route = { apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'revision' }, spec }
  return validateModelRoute(route).length === 0
}

import { modelRoute } from './schema/modelroute.ts'
import { obj, required, strings } from './schema/node.ts'
import { rateLimitPolicy } from './schema/ratelimitpolicy.ts'
import { group, version } from './schema/resource.ts'
import { label, objectName } from './schema/scalar.ts'
import { oversize } from './validate/bounds.ts'
import { MAX_FAULTS } from './validate/fault.ts'
import { compileRules } from './validate/rules.ts'
import { compileStructure } from './validate/structure.ts'
import type { Resource } from './schema/resource.ts'
import type { Fault } from './validate/fault.ts'

export type { Fault } from './validate/fault.ts'

type Validate = (value: unknown) => readonly Fault[]

/**
 * What is wrong with a value that is to be a ModelRoute, the same that the API server would refuse it for; empty when
 * nothing is, and then it has the type ModelRoute. Takes anything at all, and never throws.
 */
export const validateModelRoute: Validate = validator(modelRoute)

/** The same for a RateLimitPolicy. */
export const validateRateLimitPolicy: Validate = validator(rateLimitPolicy)

const metadata = obj('Metadata', 'What we read of it.', {
  name: required(objectName('Name of the object.')),
  namespace: label('Namespace of the object.'),
  labels: strings('Labels.', 1000, 63),
  annotations: strings('Annotations.', 1000, 262_144),
})

/** Compiling takes longer than a command that needs neither kind should wait, so the first use does it. */
function validator({ kind, spec, status }: Resource): Validate {
  let compiled: Validate | undefined
  const compile = (): Validate => {
    const head = { apiVersion: { const: `${group}/${version}` }, kind: { const: kind } }
    const structure = compileStructure(spec, status, metadata, head)
    const rules = compileRules(spec)
    return (value) => {
      const large = oversize(value)
      if (large !== undefined) return [large]
      const faults = structure(value)
      const inside = typeof value === 'object' && value !== null ? (value as { spec?: unknown }).spec : undefined
      return [...faults, ...rules(inside, faults)].slice(0, MAX_FAULTS)
    }
  }
  return (value) => (compiled ??= compile())(value)
}

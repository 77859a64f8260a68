import type { Rule } from '../../table/route.ts'
import type { RuleSpec } from './spec.ts'

/** Undefined: every request for itself. */
export function compileSplit(spec: RuleSpec['split']): Rule['split'] {
  if (spec?.by === 'Principal') return { by: 'Principal' }
  if (spec?.by === 'Header') return { by: 'Header', name: (spec.name ?? '').toLowerCase() }
  return spec?.by === 'Cookie' ? { by: 'Cookie', name: spec.name ?? '' } : undefined
}

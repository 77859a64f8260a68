import type { Rule } from '../../table/route.ts'
import type { Problem } from '../sources/snapshot.ts'
import { invalid, quote, warning } from './problems.ts'
import type { RuleSpec } from './spec.ts'

/** Undefined: every request for itself. */
export function compileSplit(spec: RuleSpec['split']): Rule['split'] {
  if (spec?.by === 'Principal') return { by: 'Principal' }
  if (spec?.by === 'Header') return { by: 'Header', name: (spec.name ?? '').toLowerCase() }
  return spec?.by === 'Cookie' ? { by: 'Cookie', name: spec.name ?? '' } : undefined
}

/** Undefined: nobody gets copies. */
export function compileMirror({ mirror: spec, backendRefs = [] }: RuleSpec, place: string, problems: Problem[]): Rule['mirror'] {
  if (spec === undefined) return undefined
  const { variant, percent = 100, compare } = spec
  const ref = backendRefs.find((each) => each.variant === variant)
  if (ref === undefined) problems.push(invalid(`${place}.variant`, `${quote(variant)} is no variant of this rule`))
  else if (ref.weight === undefined) {
    problems.push(warning(`${place}.variant`, 'Invalid', `${quote(variant)} says no weight, which is a weight of 1, so it answers callers too; write weight: 0 where it is to get copies only`))
  }
  const bound = (name: 'absolute' | 'relative'): number => {
    const text = compare?.[name] ?? '0'
    const value = Number(text)
    if (text !== '' && Number.isFinite(value) && value >= 0) return value
    problems.push(invalid(`${place}.compare.${name}`, `${quote(text)} is no decimal number such as "0.001"`))
    return 0
  }
  const [absolute, relative] = [bound('absolute'), bound('relative')]
  if (percent === 0) return undefined
  return { variant, percent, ...(compare && { compare: { absolute, relative, ignore: [...(compare.ignore ?? [])] } }) }
}

import type { Rule, Variant } from '../../table/route.ts'

/** The backends that a rule calls itself, beside those that answer its requests. */
export function calleesOf({ compose, cache }: Rule): readonly Variant[] {
  const steps = compose?.steps.map(({ variant }) => variant) ?? []
  return cache?.semantic === undefined ? steps : [...steps, cache.semantic.embedding]
}

import type { SeenRoute } from './rollout-place.ts'

/** The rule that a command is for: the one that is named; else the only one, or the only one with a rollout. */
export function ruleOf({ namespace, name, spec: { rules } }: SeenRoute, named: string | undefined): string {
  const route = `${namespace}/${name}`
  if (named !== undefined) {
    if (rules.some((rule) => rule.name === named)) return named
    throw new Error(`${route} has no rule ${named}; it has ${namesOf(rules)}`)
  }
  const rolled = rules.filter((rule) => rule.rollout !== undefined)
  const [one, other] = rules.length === 1 ? rules : rolled
  if (one !== undefined && other === undefined) return one.name
  throw new Error(`${route} has several rules; name one of ${namesOf(rolled.length > 0 ? rolled : rules)}`)
}

const namesOf = (rules: SeenRoute['spec']['rules']): string => rules.map(({ name }) => name).join(', ')

import type { Fault } from '../../crds/validate.ts'
import type { Asks, BrokenRule, Problem } from './snapshot.ts'

const RULE = /^spec\.rules\[(\d+)\]\.(?!name$)/

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What is asked of callers: an older version that asks for less must not go on in its place. */
function asksOf(value: unknown): Asks {
  if (!isObject(value)) return {}
  const { auth, authorization } = value
  return { ...(auth !== undefined && { auth }), ...(authorization !== undefined && { authorization }) }
}

/** What a manifest holds after it was held against its schema. `value`: the part of it that satisfies the schema. */
export type Examined = Readonly<{
  value?: Json
  broken?: readonly BrokenRule[]
  asks?: Asks & Readonly<{ rules: ReadonlyMap<string, Asks> }>
  problems: readonly Problem[]
}>

type Validate = (value: unknown) => readonly Fault[]

/** Rules that break the schema by themselves are taken out, so that they cost nobody but themselves. */
export function examine(value: Json, validate: Validate): Examined {
  const faults = validate(value)
  if (faults.length === 0) return { value, problems: [] }
  const problems = faults.map(({ field, message }): Problem => ({ field, reason: 'Invalid', message, severity: 'error' }))
  const remainder = withoutBrokenRules(value, problems, validate)
  return { ...remainder, asks: asked(value['spec']), problems }
}

function asked(spec: unknown): NonNullable<Examined['asks']> {
  const rules: readonly unknown[] = isObject(spec) && Array.isArray(spec['rules']) ? spec['rules'] : []
  return { ...asksOf(spec), rules: new Map(rules.map((rule) => [nameOf(rule), asksOf(rule)])) }
}

const nameOf = (rule: unknown) => (isObject(rule) && typeof rule['name'] === 'string' ? rule['name'] : '')

/**
 * Undefined where taking rules out does not help: a fault lies outside of them or in the name of one, none would be
 * left, or what is left has faults too.
 */
function withoutBrokenRules(
  value: Json,
  problems: readonly Problem[],
  validate: Validate,
): Required<Pick<Examined, 'value' | 'broken'>> | undefined {
  const { spec } = value
  if (!isObject(spec) || !Array.isArray(spec['rules'])) return undefined
  const rules: readonly unknown[] = spec['rules']
  const byRule = new Map<number, Problem[]>()
  for (const problem of problems) {
    const at = Number(RULE.exec(problem.field)?.[1] ?? -1)
    if (at < 0) return undefined
    byRule.set(at, [...(byRule.get(at) ?? []), problem])
  }
  const broken = [...byRule].map(([at, found]) => (
    { at, name: nameOf(rules[at]), asks: asksOf(rules[at]), problems: found }
  ))
  const sound = rules.filter((_, at) => !byRule.has(at))
  const names = new Set(sound.map(nameOf))
  if (sound.length === 0 || broken.some(({ name }) => names.has(name))) return undefined
  const rest = { ...value, spec: { ...spec, rules: sound } }
  return validate(rest).length === 0 ? { value: rest, broken } : undefined
}

import type { BackendRef, BackendStatus, Rollout, Rule, RuleStatus } from '../crds/types.gen.ts'
import { parseDuration } from './values.ts'
import type { SeenRoute } from './rollout-place.ts'

const WHOLE = 1_000_000
/** Characters of a bar. */
const BAR = 20

/** A route's rollouts as a person reads them; `rule`: only that one. */
export function viewOf({ namespace, name, spec, status }: SeenRoute, rule: string | undefined, now: number): string {
  const { programmed = 0, total = 0, rejected = 0 } = status.dataPlane ?? {}
  const refused = rejected === 0 ? '' : `, refused by ${rejected}`
  const lines = [`${namespace}/${name}  in force on ${programmed} of ${total} proxies${refused}`]
  for (const each of rulesOf(spec.rules, rule)) {
    const its = status.rules?.find(({ name }) => name === each.name)
    lines.push('', ...ruleLines(each, its, now))
  }
  return `${lines.join('\n')}\n`
}

/** The same in one line a rule, for where nothing can be drawn over. */
export function lineOf({ spec, status }: SeenRoute, rule: string | undefined): string {
  return rulesOf(spec.rules, rule).map((each) => {
    const its = status.rules?.find(({ name }) => name === each.name)
    const shares = (its?.backends ?? []).map(({ variant, effectiveWeight = 0 }) => `${variant}=${percent(effectiveWeight)}`)
    const step = its?.step === undefined || its.step === 0 ? '' : ` step ${its.step}/${each.rollout?.steps?.length ?? 0}`
    const message = its?.message === undefined || its.message === '' ? '' : `: ${its.message}`
    return `${each.name} ${its?.phase ?? 'Unknown'}${step} ${shares.join(' ')}${message}\n`
  }).join('')
}

function rulesOf(rules: readonly Rule[] | undefined, wanted: string | undefined): readonly Rule[] {
  return (rules ?? []).filter(({ name, backendRefs }) => backendRefs !== undefined && (wanted === undefined || name === wanted))
}

function ruleLines(rule: Rule, status: RuleStatus | undefined, now: number): readonly string[] {
  const { rollout } = rule
  const refs = rule.backendRefs ?? []
  const backends = status?.backends ?? []
  const width = Math.max(...refs.map(({ variant }) => variant.length), 0)
  const message = status?.message === undefined || status.message === '' ? [] : [`    ${status.message}`]
  return [
    `  ${rule.name}  ${headline(rollout, status, now)}`,
    ...message,
    ...refs.map((ref) => `    ${ref.variant.padEnd(width)}  ${shareLine(ref, refs, backends.find(({ variant }) => variant === ref.variant))}`),
  ]
}

function headline(rollout: Rollout | undefined, status: RuleStatus | undefined, now: number): string {
  const revision = status?.revision === undefined ? '' : `, revision ${status.revision}`
  if (rollout === undefined) return `no rollout${revision}`
  const phase = status?.phase ?? 'Unknown'
  const { step = 0, stepStartedAt } = status ?? {}
  const terms = rollout.steps?.[step - 1]
  if (step === 0 || terms === undefined) return `${phase}${revision}`
  const waits = [...(terms.hold === undefined ? [] : [`hold ${terms.hold}`]), ...(terms.approval ? ['approval'] : [])]
  const since = stepStartedAt === undefined ? '' : `, since ${age(now - Date.parse(stepStartedAt))}${left(terms.hold, now - Date.parse(stepStartedAt))}`
  const of = `step ${step} of ${rollout.steps?.length ?? 0}: ${terms.percent} %${waits.length === 0 ? '' : ` (${waits.join(', ')})`}`
  return `${phase}, ${of}${since}${revision}`
}

function left(hold: string | undefined, passed: number): string {
  const wanted = hold === undefined ? 0 : parseDuration(hold) ?? 0
  return wanted > passed ? `, ${age(wanted - passed)} to go` : ''
}

function shareLine(ref: BackendRef, refs: readonly BackendRef[], backend: BackendStatus | undefined): string {
  const { effectiveWeight = 0, endpoints } = backend ?? {}
  const filled = Math.round((effectiveWeight / WHOLE) * BAR)
  const bar = '█'.repeat(filled) + '░'.repeat(BAR - filled)
  const sum = refs.reduce((total, { weight = 1 }) => total + weight, 0)
  const target = sum === 0 ? 0 : ((ref.weight ?? 1) * WHOLE) / sum
  const towards = Math.round(target) === effectiveWeight ? '' : ` of ${percent(target)}`
  const ready = endpoints === undefined ? '' : `, ${endpoints} endpoint${endpoints === 1 ? '' : 's'}`
  return `${bar} ${`${percent(effectiveWeight)}${towards}`.padStart(5)}${ready}`
}

function percent(share: number): string {
  return `${Math.round(share / 100) / 100} %`
}

/** `2m10s`; whole seconds. */
function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return [h > 0 ? `${h}h` : '', h > 0 || m > 0 ? `${m}m` : '', `${s}s`].join('')
}

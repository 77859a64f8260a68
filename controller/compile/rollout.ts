import { hash } from 'node:crypto'
import type { Problem, RuleRollout } from '../sources/snapshot.ts'
import { type Analysis, compileAnalysis } from './analysis.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote } from './problems.ts'
import type { BackendRef, CompileOptions, RuleSpec } from './spec.ts'
import { apportion, shares, WHOLE } from './weights.ts'

/** A variant of a rule, as its manifest wants it. Shares are millionths of the rule. */
export type Aim = Readonly<{ variant: string; target: number; reference: string }>

export type Step = Readonly<{ share: number; /** Milliseconds. */ hold: number; approval: boolean }>

/** A rollout, ready to be run. */
export type Plan = Readonly<{ candidate: string; paused: boolean; steps: readonly Step[]; analysis?: Analysis }>

/** What whoever moves the shares of a rule must know of its manifest. */
export type Delivery = Readonly<{ specHash: string; aims: readonly Aim[]; plan?: Plan }>

export function compileDelivery(spec: RuleSpec, place: string, options: CompileOptions, problems: Problem[]): Delivery {
  const aims = aimsOf(spec.backendRefs ?? [])
  const { rollout } = spec
  const plan = rollout && compilePlan(rollout, aims, `${place}.rollout`, { options, problems })
  const compares = spec.mirror?.compare !== undefined && spec.mirror.variant === plan?.candidate
  if (!compares && plan?.analysis?.gates.some(({ measure }) => measure.type === 'MirrorMismatch')) {
    problems.push(invalid(`${place}.rollout.analysis.metrics`, 'mismatches are of copies to the candidate; mirror to it, with compare: {}'))
  }
  return { specHash: specHashOf(spec), aims, ...(plan && { plan }) }
}

type Found = Readonly<{ options: CompileOptions; problems: Problem[] }>

function compilePlan(rollout: NonNullable<RuleSpec['rollout']>, aims: readonly Aim[], place: string, { options, problems }: Found): Plan {
  const { candidate, paused = false, steps = [], analysis } = rollout
  if (!aims.some(({ variant }) => variant === candidate)) {
    problems.push(invalid(`${place}.candidate`, `${quote(candidate)} is no variant of this rule that takes requests by weight`))
  }
  return {
    candidate,
    paused,
    steps: steps.map(({ percent, hold, approval = false }, at) => {
      if (percent <= (steps[at - 1]?.percent ?? -1)) problems.push(invalid(`${place}.steps[${at}].percent`, 'must increase from step to step'))
      const ms = hold === undefined ? 0 : parseDuration(hold)
      if (ms === null) problems.push(invalid(`${place}.steps[${at}].hold`, `${quote(hold ?? '')} is no duration such as 5m`))
      return { share: percent * 10_000, hold: ms ?? 0, approval }
    }),
    ...(analysis && { analysis: compileAnalysis(analysis, `${place}.analysis`, options, problems) }),
  }
}

/** Earlier variants in place of a rule's own, and without what names others. */
export function withUndone(spec: RuleSpec, backendRefs: readonly BackendRef[]): RuleSpec {
  const { rollout: _rollout, mirror, overrides, ...rest } = spec
  const there = (name: string) => backendRefs.some(({ variant }) => variant === name)
  return {
    ...rest, backendRefs,
    ...(overrides && { overrides: overrides.filter(({ variant }) => there(variant)) }),
    ...(mirror && there(mirror.variant) && { mirror }),
  }
}

/** Where a variant's requests go and how it is asked: everything but its share. */
function referenceOf({ weight: _weight, priority: _priority, ...reference }: BackendRef): string {
  return digest(reference)
}

/** Of what a rollout is about. `paused` is no part of it: who pauses for an hour begins nothing anew. */
export function specHashOf({ backendRefs, rollout }: Pick<RuleSpec, 'backendRefs' | 'rollout'>): string {
  const { paused: _paused, ...plan } = rollout ?? { candidate: '' }
  return digest({ backendRefs, ...(rollout && { plan }) })
}

/** Of the variants that take requests by their weight; fallbacks wait for them to fail. */
export function aimsOf(refs: readonly BackendRef[]): readonly Aim[] {
  const first = refs.filter(({ priority = 0 }) => priority === 0)
  const targets = shares(first.map(({ weight }) => weight ?? 1))
  return first.map((ref, at) => ({ variant: ref.variant, target: targets?.[at] ?? 0, reference: referenceOf(ref) }))
}

/**
 * The shares in force of a rule that is rolled out: its candidate never gets more than it was let have so far, and
 * nothing under another reference; less takes effect at once. The others have the rest as they were last promoted.
 * @param known undefined: the rule is seen for the first time
 */
export function sharesNow(aims: readonly Aim[], candidate: string | undefined, known: RuleRollout | undefined): readonly number[] {
  const targets = aims.map(({ target }) => target)
  const aim = aims.find(({ variant }) => variant === candidate)
  if (!aim || !known || aims.length === 1) return targets
  const before = known.variants.get(aim.variant)
  const allowed = before && sameReference(before.reference, aim.reference) ? Math.min(before.share, aim.target) : 0
  if (allowed === aim.target) return targets
  const others = (weightOf: (other: Aim) => number) => aims.map((each) => (each === aim ? 0 : weightOf(each)))
  const rest = WHOLE - allowed
  const split =
    apportion(others(({ variant }) => known.variants.get(variant)?.promoted ?? 0), rest) ??
    apportion(others(({ target }) => target), rest) ??
    // Nobody but the candidate ever had a share: whoever is there takes the requests.
    apportion(others(() => 1), rest) ??
    []
  return aims.map((each, at) => (each === aim ? allowed : (split[at] ?? 0)))
}

/** An empty one was never written down: the status is of a version before rollouts. */
export function sameReference(known: string, reference: string): boolean {
  return known === reference || known === ''
}

/** The same whatever the order of the fields; short, since people copy it. */
function digest(value: unknown): string {
  return hash('sha256', JSON.stringify(sorted(value))).slice(0, 16)
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).filter(([, inner]) => inner !== undefined)
  return fields.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, inner]) => [name, sorted(inner)])
}

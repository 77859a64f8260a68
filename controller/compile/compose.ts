import type { Compose, ComposeStep } from '../../table/compose.ts'
import { compileValue, type Value } from '../../table/step_expression.ts'
import type { Problem } from '../sources/snapshot.ts'
import type { BackendFound } from './backends.ts'
import { compileCallee } from './callee.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote, unsupported } from './problems.ts'
import { compileRetry } from './resilience.ts'
import { servedModel } from './served.ts'
import type { ComposeSpec, RuleSpec, StepSpec } from './spec.ts'
import type { BackendContext } from './targets.ts'

/** A graph of calls. What is wrong with it costs the rule; a reference that leads nowhere costs its step only. */
export function compileCompose(rule: RuleSpec, spec: ComposeSpec, place: string, context: BackendContext, found: BackendFound): Compose {
  const { problems } = found
  for (const field of ['rollout', 'mirror', 'split', 'overrides', 'batching'] as const) {
    if (rule[field] !== undefined) problems.push(invalid(place.replace(/compose$/, field), 'is for the variants of backendRefs, and a composition has none; remove it'))
  }
  if (rule.cache !== undefined) problems.push(unsupported(place.replace(/compose$/, 'cache'), 'keeps what a variant answers, and a composition has none; remove it'))
  const steps = spec.steps.map((step, at) => compileStep(rule, step, { spec, place: `${place}.steps[${at}]` }, context, found))
  if (spec.output !== undefined) expressionOf(spec.output, 'json', `${place}.output`, spec, problems)
  problems.push(...circleOf(steps, `${place}.steps`))
  return { steps, ...(spec.output !== undefined && { output: spec.output }) }
}

function compileStep(
  rule: RuleSpec,
  step: StepSpec,
  { spec, place }: Readonly<{ spec: ComposeSpec; place: string }>,
  context: BackendContext,
  found: BackendFound,
): ComposeStep {
  const { problems } = found
  const { name, path, input, when, forEach, maxParallel = 8, onError = 'Fail' } = step
  const here = `${place}.backendRef`
  const served = rule.health?.active?.type === 'Model' ? servedModel(step.backendRef, rule.matches ?? [], here, problems) : undefined
  const callee = compileCallee(step.backendRef, here, context, found)
  const waitsFor = new Set(step.dependsOn)
  for (const each of step.dependsOn ?? []) {
    if (each === name || !spec.steps.some((other) => other.name === each)) problems.push(invalid(`${place}.dependsOn`, `${quote(each)} is no other step`))
  }
  const expressions = [
    input !== undefined && expressionOf(input, 'json', `${place}.input`, spec, problems, forEach !== undefined),
    when !== undefined && expressionOf(when, 'bool', `${place}.when`, spec, problems),
    forEach !== undefined && expressionOf(forEach, 'json', `${place}.forEach`, spec, problems),
  ]
  for (const expression of expressions) {
    if (expression) for (const each of expression.steps) waitsFor.add(each)
  }
  if (step.maxParallel !== undefined && forEach === undefined) problems.push(invalid(`${place}.maxParallel`, 'is of forEach; add forEach, or remove it'))
  if (callee.protocol === 'GRPC' && path !== undefined && !/^\/(?:openai\/)?v[12]\//.test(path)) {
    problems.push(unsupported(`${place}.path`, 'says nothing that could be put to a server that speaks gRPC; write the path of another protocol, such as /v2/models/name/infer, or remove it'))
  }
  const timeout = step.timeout === undefined ? undefined : durationOf(step.timeout, `${place}.timeout`, problems)
  const retry = step.retry ?? rule.retry
  return {
    name,
    variant: { name, weight: 1_000_000, priority: 0, ...callee, ...(served && { served }) },
    ...(path !== undefined && { path }),
    ...(input !== undefined && { input }),
    dependsOn: [...waitsFor].toSorted(),
    ...(when !== undefined && { when }),
    ...(forEach !== undefined && { forEach }),
    maxParallel,
    onError,
    ...(timeout !== undefined && timeout > 0 && { timeout }),
    ...(retry && { retry: compileRetry(retry, step.retry ? `${place}.retry` : place, step.retry ? problems : []) }),
  }
}

/** Undefined, with a problem: it does not hold. */
function expressionOf(source: string, kind: 'json' | 'bool', place: string, { steps }: ComposeSpec, problems: Problem[], item = false): Value | undefined {
  const value = compileValue(source, kind, item)
  if ('fault' in value) {
    problems.push(invalid(place, value.fault))
    return undefined
  }
  for (const name of value.steps) {
    if (!steps.some((step) => step.name === name)) problems.push(invalid(place, `names the step ${quote(name)}, and there is none`))
  }
  for (const name of value.asksFailed) {
    const asked = steps.find((step) => step.name === name)
    if (asked && asked.onError !== 'Skip') {
      problems.push(invalid(place, `asks whether ${name} failed, and when it does the whole request has; give ${name} onError: Skip`))
    }
  }
  return value
}

/** Steps that wait for each other, written out: `a → b → a`. */
function circleOf(steps: readonly ComposeStep[], place: string): readonly Problem[] {
  const circle = findCircle(new Map(steps.map(({ name, dependsOn }) => [name, dependsOn])))
  return circle ? [invalid(place, `steps wait for each other in a circle: ${circle.join(' → ')}; take one dependsOn, or what an expression names, away`)] : []
}

/** Depth first over at most as many steps as the schema allows. Unknown names are leaves. */
function findCircle(edges: ReadonlyMap<string, readonly string[]>): readonly string[] | null {
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (step: string): readonly string[] | null => {
    const seen = trail.indexOf(step)
    if (seen >= 0) return [...trail.slice(seen), step]
    if (done.has(step)) return null
    trail.push(step)
    for (const next of edges.get(step) ?? []) {
      const circle = visit(next)
      if (circle) return circle
    }
    trail.pop()
    done.add(step)
    return null
  }
  for (const step of edges.keys()) {
    const circle = visit(step)
    if (circle) return circle
  }
  return null
}

function durationOf(text: string, place: string, problems: Problem[]): number {
  const parsed = parseDuration(text)
  if (parsed === null) problems.push(invalid(place, `${quote(text)} is no duration; write one such as 250ms or 1s`))
  return parsed ?? 0
}

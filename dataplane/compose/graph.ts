import type { Compose, ComposeStep } from '../../table/compose.ts'
import { bodyNamed, compileValue, type Value } from '../../table/step_expression.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { pathOfV1 } from '../protocols/v1.ts'
import { pathOfV2 } from '../protocols/v2.ts'
import { calleeOf } from '../upstream/call.ts'

/** What a call is given: what an expression makes, or a body as it came: that of a step, or of the request (null). */
export type Input = Readonly<{ value: Value } | { of: string | null }>

/** One call of a composition, ready to be made. */
export type BuiltStep = Readonly<{
  name: string
  variant: BuiltVariant
  /** Undefined: that of the request. */
  path: string | undefined
  input: Input
  dependsOn: readonly string[]
  when: Value | undefined
  forEach: Value | undefined
  maxParallel: number
  /** It is gone on without its answer. */
  skips: boolean
  timeout: number | undefined
  /** As a rule that is called. */
  callee(rule: BuiltRule): BuiltRule
}>

export type Graph = Readonly<{
  /** As they were written: the answer is that of the last that has one. */
  steps: readonly BuiltStep[]
  /** Each after all that it waits for. */
  order: readonly BuiltStep[]
  output: Input | undefined
  /** There may be more calls at once than are usual. */
  many: boolean
  /** Some expression looks into the body of the request. */
  readsBody: boolean
  /** Steps into whose answers some expression looks. */
  read: ReadonlySet<string>
}>

/** What of a composition this proxy cannot do. The controller has looked at the same. */
export function graphFault({ steps, output }: Compose): string | undefined {
  for (const { name, input, when, forEach } of steps) {
    const fault = faultOf(when, 'bool', false) ?? faultOf(forEach, 'json', false) ?? faultOf(input, 'json', forEach !== undefined)
    if (fault !== undefined) return `step ${name}: an expression ${fault}`
  }
  const fault = faultOf(output, 'json', false)
  if (fault !== undefined) return `output ${fault}`
  return inOrder(steps) === undefined ? 'steps wait for each other in a circle, or for one that is not there' : undefined
}

function faultOf(source: string | undefined, kind: 'json' | 'bool', item: boolean): string | undefined {
  const value = source === undefined ? undefined : compileValue(source, kind, item)
  return value && 'fault' in value ? value.fault : undefined
}

/** @param variants those of the steps first, in their order */
export function buildGraph({ steps: given, output: source }: Compose, variants: readonly BuiltVariant[]): Graph {
  const steps = given.map((step, at) => buildStep(step, variants[at]))
  const output = source === undefined ? undefined : inputOf(source, false)
  const looks = [...steps.flatMap(({ input, when, forEach }) => [...'value' in input ? [input.value] : [], when, forEach]), output && 'value' in output ? output.value : undefined]
    .filter((value) => value !== undefined)
  return {
    steps, output,
    many: steps.length > 8 || steps.some(({ forEach }) => forEach !== undefined),
    order: inOrder(steps) ?? [],
    readsBody: looks.some(({ readsBody }) => readsBody),
    read: new Set(looks.flatMap((value) => [...value.steps])),
  }
}

function buildStep(step: ComposeStep, variant: BuiltVariant | undefined): BuiltStep {
  if (variant === undefined) throw new Error(`step ${step.name} has no backend`)
  const { name, path, input, when, forEach, dependsOn, maxParallel, onError, timeout, retry } = step
  let callee: BuiltRule | undefined
  return {
    name, variant, dependsOn, maxParallel, timeout,
    path: path ?? (input === undefined && forEach === undefined ? undefined : pathOf(variant)),
    input: input !== undefined ? inputOf(input, forEach !== undefined) : forEach !== undefined ? inputOf('item', true) : { of: null },
    when: when === undefined ? undefined : valueOf(when, 'bool', false),
    forEach: forEach === undefined ? undefined : valueOf(forEach, 'json', false),
    skips: onError === 'Skip',
    callee: (rule) => callee ??= { ...calleeOf(rule, variant, rule.series(undefined, variant)), retry },
  }
}

/** Where a server is asked in its own terms, as far as it is known what those are. */
function pathOf({ protocol, model }: BuiltVariant): string | undefined {
  if (model?.name === undefined) return undefined
  if (protocol === 'V2' || protocol === 'GRPC') return pathOfV2(model.name, model.version, '/infer')
  return protocol === 'V1' ? pathOfV1(model.name, undefined, ':predict') : undefined
}

function inputOf(source: string, item: boolean): Input {
  return bodyNamed(source) ?? { value: valueOf(source, 'json', item) }
}

function valueOf(source: string, kind: 'json' | 'bool', item: boolean): Value {
  const value = compileValue(source, kind, item)
  if ('fault' in value) throw new Error(value.fault)
  return value
}

/** Undefined where there is none: of a circle, or of a step that waits for one that is not there. */
function inOrder<Step extends Readonly<{ name: string; dependsOn: readonly string[] }>>(steps: readonly Step[]): readonly Step[] | undefined {
  const order: Step[] = []
  const done = new Set<string>()
  while (order.length < steps.length) {
    const ready = steps.filter(({ name, dependsOn }) => !done.has(name) && dependsOn.every((each) => done.has(each)))
    if (ready.length === 0) return undefined
    for (const step of ready) {
      order.push(step)
      done.add(step.name)
    }
  }
  return order
}

import type { ASTNode, Environment } from '@marcbachmann/cel-js'
import { cel } from './cel.ts'
import { mean, vote, weighted } from './ensemble.ts'
import { lengthMax, limits, PrincipalValue, requestFields, RequestValue, withCommon, withNumbers, type Facts, type Fault } from './expression.ts'
import { callable, childrenOf, lookAtPattern, loops, why } from './inspection.ts'
import { plain } from './plain.ts'
import { writeJson } from './values.ts'
import { written } from './written.ts'

/**
 * Expressions that make JSON of JSON: what is sent to a step of a composition, and what is answered. What they look at are
 * bodies, which callers and backends write, so that no part of an expression costs the same each time: each evaluation has
 * a budget, and every loop, comparison, concatenation and search takes from it what it is about to look at.
 */

/** What an expression sees of a step. */
export interface StepFacts {
  /** Of its answer; 0 where there is none. */
  readonly status: number
  /** Its JSON. Throws where the answer is none. */
  readonly body: unknown
  /** It has no answer: it was left out, or failed and is to be gone on without. */
  readonly skipped: boolean
  readonly failed: boolean
}

export type ValueFacts = Facts & Readonly<{
  /** The JSON body of the request. Throws where it is none. */
  body: () => unknown
  steps: ReadonlyMap<string, StepFacts>
  /** A number from 0 up to 1, drawn once for each name. */
  toss: (name: string) => number
  /** Of a list that is gone through. */
  item?: unknown
  index?: number
}>

/** What is left of what evaluations may cost: the values that they look at, about a tenth of a microsecond each. */
export type Effort = { left: number }

export type Value = Readonly<{
  /** Steps whose answers it looks at. */
  steps: ReadonlySet<string>
  /** Of these, those that it asks whether they failed. */
  asksFailed: ReadonlySet<string>
  readsBody: boolean
  readsItem: boolean
  /**
   * Plain JSON, but that whole numbers beyond 2^53 are bigints. Throws an error whose message says what is wrong; so does
   * `text`, which has evaluated it when it returns, and is written as text in stretches.
   */
  of(facts: ValueFacts, effort: Effort): unknown
  text(facts: ValueFacts, effort: Effort): Generator<undefined, string>
}>

/** One evaluation may cost so much: ten milliseconds or so. */
const effortMax = 100_000
/** Characters that are searched or compared in the time of one value. */
const textUnit = 64
/** Characters of the texts that it may give. */
const textMax = 2_097_152

class ComposedRequest extends RequestValue {
  readonly #body: () => unknown
  constructor(facts: Facts['request'], body: () => unknown) {
    super(facts)
    this.#body = body
  }
  get body(): unknown {
    return this.#body()
  }
}

class StepValue {
  readonly #facts: StepFacts
  constructor(facts: StepFacts) {
    this.#facts = facts
  }
  get status(): number {
    return this.#facts.status
  }
  get body(): unknown {
    return this.#facts.body
  }
  get skipped(): boolean {
    return this.#facts.skipped
  }
  get failed(): boolean {
    return this.#facts.failed
  }
}

/** Of the evaluation under way: evaluating waits for nothing, so that there is one at a time. */
let left = 0
let textLeft = 0
let toss: ValueFacts['toss'] = () => 0
/** It gives whole numbers that JavaScript cannot hold. */
let large = false

function spend(cost: number): void {
  left -= cost
  if (left < 0) throw new Error('it would look at more than an expression may')
}

/** What is about to be looked at, so many times. */
function charged(value: unknown, times: bigint): unknown {
  spend(Math.max(1, Number(times) * lengthOf(value)))
  return value
}

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return value.length / textUnit
  if (Array.isArray(value)) return value.length
  if (value instanceof Map) return value.size
  return isRecord(value) ? Object.keys(value).length : 1
}

/** The same for what is compared as a whole. */
function chargedWhole(value: unknown): unknown {
  const pending = [value]
  while (pending.length > 0) {
    const next = pending.pop()
    spend(1 + lengthOf(next))
    if (Array.isArray(next) || next instanceof Map) for (const one of next.values()) pending.push(one)
    else if (isRecord(next)) pending.push(...Object.values(next))
  }
  return value
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !(value instanceof Map)

const meter = {
  spend,
  text(characters: number): void {
    textLeft -= characters
    if (textLeft < 0) throw new Error('it gives more text than an expression may')
  },
  large(): void {
    large = true
  },
}

const count = (values: number) => spend(values / 4)

/** Outside of lists, and within one that is gone through; made with the first expression of either. */
let environments: Readonly<Record<'single' | 'item', Environment>> | undefined
const environment = () => (environments ??= create())

function create(): NonNullable<typeof environments> {
  const single = withNumbers(withCommon(new (cel().Environment)({ limits: { ...limits, maxAstNodes: limits.maxAstNodes * 4 }, homogeneousAggregateLiterals: false })
    .registerType('Request', { ctor: ComposedRequest, fields: { ...requestFields, body: 'dyn' } })))
    .registerType('Step', { ctor: StepValue, fields: { status: 'dyn', body: 'dyn', skipped: 'bool', failed: 'bool' } })
    .registerVariable('steps', 'map<string, Step>')
    .registerFunction('charged(dyn, int): dyn', charged)
    .registerFunction('chargedWhole(dyn): dyn', chargedWhole)
    .registerFunction('mean(list): dyn', (answers: unknown[]) => mean(answers, count))
    .registerFunction('vote(list): dyn', (answers: unknown[]) => vote(answers, count))
    .registerFunction('weighted(list, list): dyn', (answers: unknown[], weights: unknown[]) => weighted(answers, weights, count))
    .registerFunction('toss(string): double', (name: string) => toss(name))
    // JSON has one kind of number: an index of a list comes out of it as well as a count.
    .registerOperator('int % double', (a: bigint, b: number) => Number(a) % b)
    .registerOperator('double % int', (a: number, b: bigint) => a % Number(b))
    .registerOperator('double % double', (a: number, b: number) => a % b)
  return { single, item: single.clone().registerVariable('item', 'dyn').registerVariable('index', 'int') }
}

const callableHere: ReadonlySet<string> = new Set([...callable, 'mean', 'vote', 'weighted', 'toss'])

type Seen = {
  names: [from: number, to: number][]
  steps: number
  named: Set<string>
  asksFailed: Set<string>
  readsBody: boolean
  readsItem: boolean
  /** What is put around a part of the text: before which place, behind which. */
  around: { start: number; end: number; before: string; after: string }[]
}

/** Of an expression that is nothing but a body as it came: the step whose answer it is, or null for the request's. */
export function bodyNamed(source: string): Readonly<{ of: string | null }> | undefined {
  const found = /^\s*(?:request|steps(?:\.([A-Za-z_]\w*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\]))\s*\.\s*body\s*$/.exec(source)
  return found ? { of: found[1] ?? found[2] ?? found[3] ?? null } : undefined
}

/** An expression that makes JSON, or a condition (`bool`), or why it is none. `item`: a list is gone through. */
export function compileValue(source: string, kind: 'json' | 'bool', item = false): Value | Fault {
  if (source.length > lengthMax) return { fault: `is longer than ${lengthMax} characters` }
  try {
    const seen: Seen = { names: [], steps: 0, named: new Set(), asksFailed: new Set(), readsBody: false, readsItem: false, around: [] }
    const small = new (cel().Environment)({ limits, unlistedVariablesAreDyn: true })
    const fault = look(small.parse(source).ast, seen)
    if (fault !== undefined) return { fault }
    const program = environment()[item ? 'item' : 'single'].parse(rewritten(source, seen))
    const { valid, type = '', error } = program.check()
    if (!valid) return { fault: `is no expression that can be evaluated: ${told(error)}` }
    if (kind === 'bool' && type !== 'bool' && type !== 'dyn') return { fault: `gives a ${type}; a bool is needed` }
    const { named, asksFailed, readsBody, readsItem } = seen
    const evaluate = <T>({ request, principal, body, steps, toss: draw, item: value, index = 0 }: ValueFacts, effort: Effort, use: (value: unknown) => T): T => {
      const given = Math.min(effort.left, effortMax)
      left = given
      textLeft = textMax
      toss = draw
      large = false
      try {
        return use(plain(program({
          request: new ComposedRequest(request, body), principal: new PrincipalValue(principal),
          steps: new Map([...named].map((name) => [name, new StepValue(steps.get(name) ?? absent)])),
          ...(item && { item: value, index: BigInt(index) }),
        }), meter))
      } catch (error) {
        throw new Error(told(error), { cause: error })
      } finally {
        effort.left -= given - Math.max(0, left)
      }
    }
    return {
      steps: named, asksFailed, readsBody, readsItem,
      of: (facts, effort) => evaluate(facts, effort, (value) => value),
      text: (facts, effort) => evaluate(facts, effort, (value) => large ? exactly(value) : written(value)),
    }
  } catch (error) {
    return { fault: `is no CEL expression: ${told(error)}` }
  }
}

/** Bodies with whole numbers that JavaScript cannot hold are small. */
// oxlint-disable-next-line require-yield -- there is but one stretch
function* exactly(value: unknown): Generator<undefined, string> {
  return writeJson(value)
}

const told = (error: unknown): string => why(error).replaceAll(/charged(?:Whole)?\(/g, '(')

const absent: StepFacts = { status: 0, body: null, skipped: true, failed: false }

function look(node: ASTNode, seen: Seen): string | undefined {
  const { op, args } = node
  const charge = (part: ASTNode, times = 1): void => {
    if (part.op !== 'value') seen.around.push({ ...rangeOf(part), before: 'charged(', after: `, ${times})` })
  }
  if ((op === 'call' || op === 'rcall') && !callableHere.has(args[0])) return `calls ${args[0]}, which expressions do not have here`
  if (op === 'call') {
    if (args[0] !== 'has') for (const one of args[1]) charge(one)
  } else if (op === 'rcall') {
    const [name, receiver, given] = args
    if (loops.has(name)) charge(receiver, given.reduce((sum, one) => sum + sizeOf(one), 1))
    else if (name === 'matches') {
      const fault = lookAtPattern(node, seen)
      if (fault !== undefined) return fault
      charge(receiver, textUnit * 10)
    } else charge(receiver)
  } else if (op === '+') {
    for (const part of args) charge(part)
  } else if (op === 'in') charge(args[1])
  else if ((op === '==' || op === '!=') && args.every((part) => part.op !== 'value')) {
    for (const part of args) seen.around.push({ ...rangeOf(part), before: 'chargedWhole(', after: ')' })
  }
  const step = stepOf(node)
  if (step !== undefined) {
    seen.named.add(step)
    return undefined
  }
  const inner = op === '.' ? stepOf(args[0]) : undefined
  if (op === '.' && args[1] === 'failed' && inner !== undefined) seen.asksFailed.add(inner)
  if (op === 'id' && args === 'steps') return 'names steps as a whole; name each by itself, as steps.name or steps["name"]'
  if (op === 'id' && (args === 'item' || args === 'index')) seen.readsItem = true
  if (op === '.' && args[1] === 'body' && args[0].op === 'id' && args[0].args === 'request') seen.readsBody = true
  for (const child of childrenOf(args)) {
    const fault = look(child, seen)
    if (fault !== undefined) return fault
  }
  return undefined
}

/** Of `steps.name` and `steps["name"]`. */
function stepOf({ op, args }: ASTNode): string | undefined {
  if (op !== '.' && op !== '[]') return undefined
  const [of, which] = args
  if (of.op !== 'id' || of.args !== 'steps') return undefined
  const name = typeof which === 'string' ? which : which.op === 'value' ? which.args : undefined
  return typeof name === 'string' ? name : undefined
}

const rangeOf = ({ range: { start, end } }: ASTNode) => ({ start, end })

function sizeOf(node: ASTNode): number {
  return childrenOf(node.args).reduce((sum, child) => sum + sizeOf(child), 1)
}

/** With what is charged, and `matches` by the name of ours. */
function rewritten(source: string, { around, names }: Seen): string {
  const inserts = [
    // What stands around more begins before and ends behind what stands within it.
    ...around.flatMap(({ start, end, before, after }) => [
      { at: start, rank: 1, size: start - end, text: before }, { at: end, rank: 0, size: end - start, text: after },
    ]),
    ...names.map(([from, to]) => ({ at: source.indexOf('matches', from) + 'matches'.length, rank: 0, size: 0, text: 'Linear', to })),
  ].toSorted((a, b) => a.at - b.at || a.rank - b.rank || a.size - b.size)
  let text = ''
  let from = 0
  for (const { at, text: more } of inserts) {
    text += source.slice(from, at) + more
    from = at
  }
  return text + source.slice(from)
}

import type { Environment } from '@marcbachmann/cel-js'
import { cel } from './cel.ts'
import { look, nothingSeen, rewritten } from './charging.ts'
import { charged, chargedWhole, spend, spendText, within, type Effort } from './effort.ts'
import { mean, vote, weighted } from './ensemble.ts'
import { lengthMax, limits, PrincipalValue, requestFields, RequestValue, withCommon, withNumbers, type Facts, type Fault } from './expression.ts'
import { why } from './inspection.ts'
import { plain } from './plain.ts'
import { writeJson } from './values.ts'
import { written } from './written.ts'

/**
 * Expressions that make JSON of JSON: what is sent to a step of a composition, and what is answered. What they look at are
 * bodies, which callers and backends write, so that no part of an expression costs the same each time: each evaluation has
 * a budget (effort.ts), from which is taken what is about to be looked at (charging.ts).
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

/** Of the evaluation under way, as the budget is. */
let toss: ValueFacts['toss'] = () => 0
/** It gives whole numbers that JavaScript cannot hold. */
let large = false

const meter = {
  spend,
  text: spendText,
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

/** Of an expression that is nothing but a body as it came: the step whose answer it is, or null for the request's. */
export function bodyNamed(source: string): Readonly<{ of: string | null }> | undefined {
  const found = /^\s*(?:request|steps(?:\.([A-Za-z_]\w*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\]))\s*\.\s*body\s*$/.exec(source)
  return found ? { of: found[1] ?? found[2] ?? found[3] ?? null } : undefined
}

/** An expression that makes JSON, or a condition (`bool`), or why it is none. `item`: a list is gone through. */
export function compileValue(source: string, kind: 'json' | 'bool', item = false): Value | Fault {
  if (source.length > lengthMax) return { fault: `is longer than ${lengthMax} characters` }
  try {
    const seen = nothingSeen()
    const small = new (cel().Environment)({ limits, unlistedVariablesAreDyn: true })
    const fault = look(small.parse(source).ast, seen)
    if (fault !== undefined) return { fault }
    const program = environment()[item ? 'item' : 'single'].parse(rewritten(source, seen))
    const { valid, type = '', error } = program.check()
    if (!valid) return { fault: `is no expression that can be evaluated: ${told(error)}` }
    if (kind === 'bool' && type !== 'bool' && type !== 'dyn') return { fault: `gives a ${type}; a bool is needed` }
    const { named, asksFailed, readsBody, readsItem } = seen
    const evaluate = <T>({ request, principal, body, steps, toss: draw, item: value, index = 0 }: ValueFacts, effort: Effort, use: (value: unknown) => T): T => {
      toss = draw
      large = false
      try {
        return within(effort, () => use(plain(program({
          request: new ComposedRequest(request, body), principal: new PrincipalValue(principal),
          steps: new Map([...named].map((name) => [name, new StepValue(steps.get(name) ?? absent)])),
          ...(item && { item: value, index: BigInt(index) }),
        }), meter)))
      } catch (error) {
        throw new Error(told(error), { cause: error })
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

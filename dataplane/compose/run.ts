import { setMaxListeners } from 'node:events'
import type { Effort } from '../../table/effort.ts'
import type { StepFacts, Value, ValueFacts } from '../../table/step_expression.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { isPlainValue } from '../pipeline/headers.ts'
import type { StepRecord } from '../pipeline/parts.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { inSlices } from '../sliced.ts'
import { Patience, unreadable } from '../upstream/patience.ts'
import type { Live, Made } from '../upstream/served.ts'
import { contentOf, headersOf, jsonContent, type Content } from './asks.ts'
import { Calls } from './calls.ts'
import { eachItem } from './each.ts'
import { failureOf, messageOf, StepFailed, Unaskable, whyOf } from './failed.ts'
import type { BuiltStep, Graph, Input } from './graph.ts'
import type { Looked } from './looked.ts'

/** What the expressions of one request may cost, all together: 50 ms or so, in as many turns as there are calls. */
const effortMax = 500_000

/** What expressions see of the request itself. `looked`: its body has been read for that. */
export type Asked = Readonly<{ body: Buffer; facts: Omit<ValueFacts, 'steps' | 'toss'>; looked: Looked }>

/** The steps of one request: each is taken as soon as what it waits for is there, and the answer is made out of theirs. */
export class Run {
  readonly #exchange: Exchange
  readonly #rule: BuiltRule
  readonly #graph: Graph
  readonly #patience: Patience
  readonly #request: Content
  readonly #facts: ValueFacts
  readonly #looked: Looked
  readonly #signal: AbortSignal
  readonly #calls: Calls
  readonly #seen = new Map<string, StepFacts>()
  readonly #answers = new Map<string, Made>()
  readonly #settled = new Set<string>()
  readonly #effort: Effort = { left: effortMax }
  /** An answer is on its way, or there will be none: nothing else is begun. */
  #decided = false
  readonly #over = Promise.withResolvers<Live | Failure>()

  /** @param signal nobody waits for the answer any more, or there will be none */
  constructor(exchange: Exchange, rule: BuiltRule, graph: Graph, { body, facts, looked }: Asked, signal: AbortSignal) {
    this.#exchange = exchange
    this.#rule = rule
    this.#graph = graph
    this.#patience = new Patience(rule, exchange.received.headers, false, exchange.startedAt)
    this.#request = contentOf(exchange.received.headers, body)
    this.#facts = { ...facts, steps: this.#seen, toss: tosses() }
    this.#looked = looked
    this.#signal = signal
    this.#calls = new Calls(exchange, rule, signal)
    // Each call listens while it is under way, and there may be a thousand.
    if (graph.many) setMaxListeners(0, signal)
  }

  /** Never rejects. A failure ends whatever is still under way: who is given it aborts. */
  async answer(): Promise<Made | Live | Failure> {
    if (this.#patience.unreadable) return unreadable
    this.#exchange.steps = []
    const waits = new Map<string, Promise<unknown>>()
    for (const step of this.#graph.order) {
      const { name, dependsOn } = step
      waits.set(name, dependsOn.length === 0 ? this.#take(step) : Promise.all(dependsOn.flatMap((each) => waits.get(each) ?? [])).then(() => this.#take(step)))
    }
    return Promise.race([this.#over.promise, Promise.all(waits.values()).then(() => this.#conclude())])
  }

  /** Takes a step to its end, and remembers how that was. */
  async #take(step: BuiltStep): Promise<void> {
    if (this.#decided || this.#signal.aborted) return
    const record: StepRecord = { name: step.name, result: 'skipped', status: 0, calls: 0, seconds: 0 }
    this.#exchange.steps?.push(record)
    try {
      if (this.#isWanted(step, record)) {
        // Until it has an answer, should nobody wait for that any more.
        record.result = 'failed'
        record.spans = this.#exchange.spans?.step(step.name)
        await this.#ask(step, record)
      } else this.#seen.set(step.name, { status: 0, body: null, skipped: true, failed: false })
    } catch (error) {
      this.#fail(step, record, error)
    }
    record.spans?.stepped(record)
    this.#settled.add(step.name)
    this.#rule.series(undefined, step.variant).stepped(record.result)
  }

  #isWanted({ when }: BuiltStep, record: StepRecord): boolean {
    if (when === undefined) return true
    try {
      return when.of(this.#facts, this.#effort) === true
    } catch (error) {
      record.why = `when: ${messageOf(error)}`
      return false
    }
  }

  async #ask(step: BuiltStep, record: StepRecord): Promise<void> {
    const { name, forEach } = step
    const content = (input: Input, more?: Readonly<{ item: unknown; index: number }>) => this.#contentOf(input, { ...this.#facts, ...more })
    if (forEach !== undefined) {
      const items = this.#given(forEach, () => forEach.of(this.#facts, this.#effort))
      const { made, values } = await eachItem(step, items, record, {
        calls: this.#calls, content, looked: this.#graph.read.has(name) ? this.#looked : undefined, late: () => performance.now() >= this.#patience.limit,
      })
      this.#remember(step, record, made, () => values)
      return
    }
    const outcome = await this.#calls.call(step, await content(step.input), record, this.#mayPass(step) ? () => this.#isLast(step) : undefined)
    if (!('status' in outcome)) throw new StepFailed(whyOf(outcome))
    record.status = outcome.status
    if (outcome.status < 200 || outcome.status > 299) throw new StepFailed(`status ${outcome.status}`)
    if ('open' in outcome) {
      record.result = 'answered'
      this.#tellVersion(step)
      this.#decided = true
      this.#over.resolve(outcome)
    } else this.#remember(step, record, outcome, this.#reading(name, outcome))
  }

  /** Read at once, where an expression looks into it; what is wrong with it is told to those that do. */
  #reading(name: string, { headers, body }: Made): () => unknown {
    if (!this.#graph.read.has(name)) return () => null
    try {
      const value = this.#looked.at(headers, body)
      return () => value
    } catch (error) {
      return () => { throw new Error(`the answer of ${name} cannot be read: ${messageOf(error)}`, { cause: error }) }
    }
  }

  #remember({ name }: BuiltStep, record: StepRecord, made: Made, read: () => unknown): void {
    record.result = 'answered'
    record.status = made.status
    this.#answers.set(name, made)
    this.#seen.set(name, { status: made.status, get body() { return read() }, skipped: false, failed: false })
  }

  #fail({ name, skips }: BuiltStep, record: StepRecord, error: unknown): void {
    record.result = 'failed'
    record.why = messageOf(error)
    this.#seen.set(name, { status: record.status, body: null, skipped: true, failed: true })
    const late = performance.now() >= this.#patience.limit
    if (skips && !late) return
    this.#decided = true
    this.#over.resolve(failureOf(name, error, late))
  }

  /** Whether what a step answers can be the answer of the whole, as it comes. */
  #mayPass({ forEach }: BuiltStep): boolean {
    return this.#graph.output === undefined && forEach === undefined
  }

  /** Nothing else is under way or to come, and no step that is further down has an answer. */
  #isLast(step: BuiltStep): boolean {
    const { steps } = this.#graph
    const at = steps.indexOf(step)
    return steps.every((other, i) => i === at || (this.#settled.has(other.name) && (i < at || !this.#answers.has(other.name))))
  }

  /** At once, unless there is much to write. */
  #contentOf(input: Input, facts: ValueFacts): Content | Promise<Content> {
    if ('value' in input) {
      const writing = this.#given(input.value, () => input.value.text(facts, this.#effort))
      const { done, value } = writing.next()
      return done === true ? jsonContent(value) : inSlices(writing, () => {}).then(jsonContent)
    }
    if (input.of === null) return this.#request
    const made = this.#answers.get(input.of)
    return made === undefined ? jsonContent('null') : contentOf(made.headers, made.body)
  }

  /** What an expression gives that a step cannot do without. Where it looks at nothing but the request, that is to blame. */
  #given<T>({ steps }: Value, give: () => T): T {
    try {
      return give()
    } catch (error) {
      throw new (steps.size === 0 ? Unaskable : StepFailed)(messageOf(error))
    }
  }

  async #conclude(): Promise<Made | Failure> {
    if (this.#decided || this.#signal.aborted) return nothing
    const { steps, output } = this.#graph
    if (output === undefined) {
      const last = steps.findLast(({ name }) => this.#answers.has(name))
      const made = last && this.#answers.get(last.name)
      if (last !== undefined) this.#tellVersion(last)
      return made ?? nothing
    }
    try {
      const content = await this.#contentOf(output, this.#facts)
      return { status: 200, headers: headersOf(content), body: content.body }
    } catch (error) {
      return failureOf('output', error, false)
    }
  }

  /** What answers is the model of this step. */
  #tellVersion({ variant }: BuiltStep): void {
    const version = variant.model?.version
    if (version !== undefined && isPlainValue(version)) this.#exchange.modelVersion = version
  }
}

const nothing = failure('no_route', 'No step of this route is for this request.')

/** Each is drawn once, when it is asked for. */
function tosses(): (name: string) => number {
  const drawn = new Map<string, number>()
  return (name) => {
    const value = drawn.get(name) ?? Math.random()
    drawn.set(name, value)
    return value
  }
}

import type { Environment } from '@marcbachmann/cel-js'
import type { RE2JS } from 're2js'
import { cel } from './cel.ts'
import { look, nothingSeen, renamed, why, type Work } from './inspection.ts'
import { re2 } from './re2.ts'

/**
 * The expressions of the users' contract (CEL): what they may look at, which of them are refused, and how they run. Both
 * halves read them here, so that what the controller accepts is what a proxy evaluates.
 *
 * An expression runs on the event loop, so its cost is bounded: by its length, by the functions it may call, by loops
 * that hold no loops, and by regular expressions in time linear in their text (RE2).
 */

/** What an expression sees of a request. Worked out only where it is asked for. */
export interface RequestFacts {
  readonly method: string
  readonly path: string
  readonly host: string
  /** Names are lower case. */
  readonly headers: ReadonlyMap<string, string>
  /** Decoded; the first value of a repeated one. */
  readonly query: ReadonlyMap<string, string>
  /** The model that the request names; empty when none. */
  readonly model: string
}

/** Who calls; what is not known is empty. */
export interface PrincipalFacts {
  readonly consumer: string
  readonly groups: readonly string[]
  readonly tier?: string | undefined
  readonly scopes: readonly string[]
  readonly claims: ReadonlyMap<string, unknown>
}

/** What is known of the answer: nothing before it came. */
export type ResponseFacts = Readonly<{ status: number; bytes: number }>

/** Numbers that a cost is made of. `maxTokens` is what the request allows the answer to have. */
export const usageNames = [
  'rows', 'tensorElements', 'requestBytes', 'responseBytes', 'inputTokens', 'outputTokens', 'maxTokens', 'backendSeconds',
] as const
export type UsageFacts = Readonly<Record<(typeof usageNames)[number], number>>

export type Facts = Readonly<{ request: RequestFacts; principal: PrincipalFacts }>
export type CostFacts = Facts & Readonly<{ response: ResponseFacts; usage: UsageFacts }>

/** Whether it holds. What cannot be evaluated (a header that is not there) does not hold. */
export type Condition = Readonly<{
  holds: (facts: Facts) => boolean
  /** It looks at the model that the request names, which may be in the body. */
  readsModel: boolean
  /** It looks at who calls. */
  readsPrincipal: boolean
}>

/** A cost; undefined where it cannot be evaluated or is no number from 0 on. */
export type Cost = Readonly<{ of: (facts: CostFacts) => number | undefined; readsModel: boolean }>

export type Fault = Readonly<{ fault: string }>

export const lengthMax = 2048
/** Nodes of the syntax tree. */
const nodesMax = 400
/** Entries of what a loop may go through: claims can be long lists. */
const itemsMax = 1000
/** Characters that a regular expression is tried on. */
const textMax = 16_384

/** Classes, because the library tells types apart by them, and getters, because most of this is never asked for. */
export class RequestValue {
  readonly #facts: RequestFacts
  constructor(facts: RequestFacts) {
    this.#facts = facts
  }
  get method(): string {
    return this.#facts.method
  }
  get path(): string {
    return this.#facts.path
  }
  get host(): string {
    return this.#facts.host
  }
  get headers(): ReadonlyMap<string, string> {
    return this.#facts.headers
  }
  get query(): ReadonlyMap<string, string> {
    return this.#facts.query
  }
  get model(): string {
    return this.#facts.model
  }
}

export class PrincipalValue {
  readonly #facts: PrincipalFacts
  constructor(facts: PrincipalFacts) {
    this.#facts = facts
  }
  get consumer(): string {
    return this.#facts.consumer
  }
  get groups(): readonly string[] {
    return short(this.#facts.groups)
  }
  get tier(): string {
    return this.#facts.tier ?? ''
  }
  get scopes(): readonly string[] {
    return short(this.#facts.scopes)
  }
  get claims(): ReadonlyMap<string, unknown> {
    const { claims } = this.#facts
    for (const value of claims.values()) bounded(value)
    return claims
  }
}

class ResponseValue {
  readonly status: number
  readonly bytes: number
  constructor({ status, bytes }: ResponseFacts) {
    this.status = status
    this.bytes = bytes
  }
}

class UsageValue {
  readonly #facts: UsageFacts
  constructor(facts: UsageFacts) {
    this.#facts = facts
  }
  static {
    for (const name of usageNames) {
      Object.defineProperty(this.prototype, name, { get(this: UsageValue) { return this.#facts[name] } })
    }
  }
}

function short<T>(list: readonly T[]): readonly T[] {
  if (list.length > itemsMax) throw new Error(`a list of more than ${itemsMax}`)
  return list
}

/** Nested lists count as often as they stand in a claim: a loop goes through one of them at a time. */
function bounded(value: unknown): void {
  if (Array.isArray(value)) short(value).forEach(bounded)
  else if (typeof value === 'object' && value !== null) short(Object.values(value)).forEach(bounded)
}

export const limits = { maxAstNodes: nodesMax, maxDepth: 32, maxListElements: 200, maxMapEntries: 50, maxCallArguments: 8 }

const patterns = new Map<string, RE2JS>()
const patternsMax = 1000

/** As CEL has it: some part of the text matches. */
function matches(text: string, source: string): boolean {
  if (text.length > textMax) throw new Error(`a text of more than ${textMax} characters`)
  let pattern = patterns.get(source)
  if (pattern === undefined) {
    if (patterns.size >= patternsMax) patterns.clear()
    pattern = re2().compile(source)
    patterns.set(source, pattern)
  }
  return pattern.test(text)
}

export const requestFields = {
  method: 'string', path: 'string', host: 'string', headers: 'map<string, string>', query: 'map<string, string>', model: 'string',
} as const

/** Who calls, and what expressions may do beyond what the library has. */
export function withCommon(environment: Environment): Environment {
  return environment
    .registerType('Principal', {
      ctor: PrincipalValue,
      fields: { consumer: 'string', groups: 'list<string>', tier: 'string', scopes: 'list<string>', claims: 'map<string, dyn>' },
    })
    .registerVariable('request', 'Request')
    .registerVariable('principal', 'Principal')
    .registerFunction('string.matchesLinear(string): bool', matches)
}

/** Prices and scores have fractions and counts have none: `inputTokens * 3` and `0.5 * 2` mean what they say. */
export function withNumbers(environment: Environment): Environment {
  for (const [operator, apply] of [
    ['+', (a: number, b: number) => a + b], ['-', (a: number, b: number) => a - b],
    ['*', (a: number, b: number) => a * b], ['/', (a: number, b: number) => a / b],
  ] as const) {
    environment.registerOperator(`int ${operator} double`, (a: bigint, b: number) => apply(Number(a), b))
    environment.registerOperator(`double ${operator} int`, (a: number, b: bigint) => apply(a, Number(b)))
  }
  return environment
    .registerFunction('max(double, double): double', (a: number, b: number) => Math.max(a, b))
    .registerFunction('min(double, double): double', (a: number, b: number) => Math.min(a, b))
}

/** Of conditions, and of costs; made with the first of either. */
let environments: Readonly<Record<'base' | 'costs', Environment>> | undefined
const environment = () => (environments ??= create())

function create(): NonNullable<typeof environments> {
  const base = withCommon(new (cel().Environment)({ limits }).registerType('Request', { ctor: RequestValue, fields: requestFields }))
  const costs = withNumbers(base.clone())
    .registerType('Response', { ctor: ResponseValue, fields: { status: 'double', bytes: 'double' } })
    .registerType('Usage', { ctor: UsageValue, fields: Object.fromEntries(usageNames.map((name) => [name, 'double'])) })
    .registerVariable('response', 'Response')
    .registerVariable('usage', 'Usage')
  for (const name of usageNames) costs.registerVariable(name, 'double')
  return { base, costs }
}

/** An expression that may run. `work`: what of it costs time, whatever it is given. */
export type Program = Readonly<{ run: (context: Readonly<Record<string, unknown>>) => unknown; readsModel: boolean; readsPrincipal: boolean; bodies: ReadonlySet<string>; work: Work }>

/** A condition of the users' contract, or why it is none. */
export function compileCondition(source: string): Condition | Fault {
  const program = compile(source, environment().base, ['bool'])
  if ('fault' in program) return program
  const { run, readsModel, readsPrincipal } = program
  return {
    readsModel,
    readsPrincipal,
    holds({ request, principal }) {
      try {
        return run({ request: new RequestValue(request), principal: new PrincipalValue(principal) }) === true
      } catch {
        return false
      }
    },
  }
}

/** What a request costs, by the users' contract, or why that cannot be said. */
export function compileCost(source: string): Cost | Fault {
  const program = compile(source, environment().costs, ['int', 'double'])
  if ('fault' in program) return program
  const { run, readsModel } = program
  return {
    readsModel,
    of({ request, principal, response, usage }) {
      try {
        const value = Number(run({
          ...usage,
          request: new RequestValue(request),
          principal: new PrincipalValue(principal),
          response: new ResponseValue(response),
          usage: new UsageValue(usage),
        }))
        return value >= 0 && Number.isFinite(value) ? value : undefined
      } catch {
        return undefined
      }
    },
  }
}

/** @param types that it may give; none: any */
export function compile(source: string, environment: Environment, types: readonly string[]): Program | Fault {
  if (source.length > lengthMax) return { fault: `is longer than ${lengthMax} characters` }
  try {
    const seen = nothingSeen()
    const fault = look(environment.parse(source).ast, 0, seen)
    if (fault !== undefined) return { fault }
    const program = environment.parse(renamed(source, seen.names))
    const { valid, type = '', error } = program.check()
    if (!valid) return { fault: `is no expression that can be evaluated: ${why(error)}` }
    if (types.length > 0 && !types.includes(type) && type !== 'dyn') return { fault: `gives a ${type}; a ${types.join(' or ')} is needed` }
    return { run: program, ...seen }
  } catch (error) {
    return { fault: `is no CEL expression: ${why(error)}` }
  }
}

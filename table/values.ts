import type { Environment } from '@marcbachmann/cel-js'
import { cel } from './cel.ts'
import {
  compile, limits, PrincipalValue, requestFields, RequestValue, withCommon, withNumbers, type Facts, type Fault, type Program, type RequestFacts,
} from './expression.ts'

/** Expressions that give a value for a body: what they see of bodies, and what that may cost. */

/** An answer as far as it has come. Names of headers are lower case. */
export type AnswerFacts = Readonly<{ status: number; headers: ReadonlyMap<string, string>; body: Body }>

/** A body as text; empty where there is none. It is read where an expression looks into it. */
export type Body = Buffer

export type ValueFacts = Facts & Readonly<{ body: Body; answer?: AnswerFacts }>

export type Value = Readonly<{
  /** The value as JSON; undefined where it cannot be worked out. */
  of: (facts: ValueFacts) => string | undefined
  readsRequestBody: boolean
  readsModel: boolean
  readsPrincipal: boolean
}>

/** A larger body is not looked into. Bytes. */
const bodyMax = 1_048_576
/** Up to here, whole numbers that JavaScript cannot hold are exact, and members may be called `constructor`. Bytes. */
const exactMax = 131_072
/** What the JSON of a value may come to. Characters. */
const valueMax = 1_048_576
const depthMax = 64
/** Nanoseconds that an expression may take, by the estimate of `priceOf`. */
const priceMax = 20_000_000

/** With bodies beside what every expression sees. */
class RequestWithBody extends RequestValue {
  readonly #read: () => unknown
  constructor(facts: RequestFacts, read: () => unknown) {
    super(facts)
    this.#read = read
  }
  get body(): unknown {
    return this.#read()
  }
}

class AnswerValue {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly #read: () => unknown
  constructor({ status, headers }: AnswerFacts, read: () => unknown) {
    this.status = status
    this.headers = headers
    this.#read = read
  }
  get body(): unknown {
    return this.#read()
  }
}

/** Of values for requests, and for answers; made with the first of either. */
let environments: Readonly<Record<'requests' | 'answers', Environment>> | undefined
const environment = () => (environments ??= create())

function create(): NonNullable<typeof environments> {
  const requests = withNumbers(withCommon(new (cel().Environment)({ limits, homogeneousAggregateLiterals: false })
    .registerType('Request', { ctor: RequestWithBody, fields: { ...requestFields, body: 'dyn' } })))
  const answers = requests.clone()
    .registerType('Response', { ctor: AnswerValue, fields: { status: 'double', headers: 'map<string, string>', body: 'dyn' } })
    .registerVariable('response', 'Response')
  return { requests, answers }
}

/** A value for a body, or why it is none. @param answer whether there is an answer to look at */
export function compileValue(source: string, answer: boolean): Value | Fault {
  const program = compile(source, environment()[answer ? 'answers' : 'requests'], [])
  if ('fault' in program) return program
  const { readsModel, readsPrincipal, bodies } = program
  return {
    readsModel,
    readsPrincipal,
    readsRequestBody: bodies.has('request'),
    of(facts) {
      try {
        const values = contextOf(facts, program)
        return writeJson(program.run(values))
      } catch {
        return undefined
      }
    },
  }
}

function contextOf({ request, principal, body, answer }: ValueFacts, { work, bodies }: Program): Readonly<Record<string, unknown>> {
  const heavy = work.looped > 0 || work.compared > 0 || work.joints > 0
  const read = (text: Body) => {
    const value = readJson(text)
    if (heavy && priceOf(work, value) > priceMax) throw new Error('it would take too long')
    return value
  }
  // Read once, before anything is evaluated: an expression may ask for it many times.
  const [ofRequest, ofAnswer] = [bodies.has('request') ? read(body) : undefined, bodies.has('response') && answer !== undefined ? read(answer.body) : undefined]
  return {
    request: new RequestWithBody(request, () => ofRequest),
    principal: new PrincipalValue(principal),
    ...(answer !== undefined && { response: new AnswerValue(answer, () => ofAnswer) }),
  }
}

/** JSON that an expression looks into, as JavaScript has it; whole numbers that this has not, exactly. Throws where it is none. */
export function readJson(text: Body): unknown {
  if (text.length > bodyMax) throw new Error(`a body of more than ${bodyMax} bytes`)
  const json = text.toString()
  if (text.length > exactMax || !/(?<![.\d])\d{16}|"constructor"|\\u/.test(json)) return JSON.parse(json)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the third argument is newer than the types (proposal-json-parse-with-source)
  return JSON.parse(json, exact as (this: unknown, key: string, value: unknown) => unknown)
}

function exact(_key: string, value: unknown, { source = '' }: Readonly<{ source?: string }>): unknown {
  if (typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source)) return BigInt(source)
  // By its constructor the library tells what an object is.
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'constructor') ? new Map(Object.entries(value)) : value
}

/** Nanoseconds, at most: as often as its nodes may be evaluated, with the longest text that they may meet. */
function priceOf({ nodes, looped, joints, compared }: Program['work'], body: unknown): number {
  const { values, longest, text } = sizeOf(body)
  return (nodes + looped * longest) * (50 + (text * (joints + 1)) / 8 + (compared > 0 ? values * 5 : 0))
}

/** How many values a body holds, how long its longest list is, and its longest text. */
function sizeOf(body: unknown): { values: number; longest: number; text: number } {
  const size = { values: 0, longest: 1, text: 0 }
  const waiting = [body]
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    size.values++
    if (typeof value === 'string') size.text = Math.max(size.text, value.length)
    if (typeof value !== 'object' || value === null) continue
    const inner: readonly unknown[] = Array.isArray(value) ? value : value instanceof Map ? [...value.values()] : Object.values(value)
    size.longest = Math.max(size.longest, inner.length)
    for (const one of inner) waiting.push(one)
  }
  return size
}

/** The JSON of what an expression gives. Throws where that has none, or more than a value may have. */
export function writeJson(value: unknown): string {
  let left = valueMax
  const write = (one: unknown, depth: number): string => {
    if (depth > depthMax) throw new Error('nested too deep')
    const text = scalar(one)
    left -= (text?.length ?? 0) + 1
    if (left < 0) throw new Error('too large')
    if (text !== undefined) return text
    if (Array.isArray(one)) return `[${one.map((inner) => write(inner, depth + 1)).join(',')}]`
    const entries = one instanceof Map ? [...one] : Object.entries(one ?? {})
    return `{${entries.map(([name, inner]) => `${write(String(name), depth + 1)}:${write(inner, depth + 1)}`).join(',')}}`
  }
  return write(value, 0)
}

/** Undefined: a list or an object. */
function scalar(value: unknown): string | undefined {
  if (value === null) return 'null'
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value)
  if (typeof value === 'string' && value.length <= valueMax) return JSON.stringify(value)
  const plain: unknown = typeof value === 'object' ? Object.getPrototypeOf(value) : undefined
  if (Array.isArray(value) || value instanceof Map || plain === Object.prototype || plain === null) return undefined
  throw new Error('no value that JSON has')
}

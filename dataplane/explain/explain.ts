import * as v from 'valibot'
import type { DoorRequest, DoorResponse } from '../pipeline/door.ts'
import type { ErrorCode, Failure } from '../pipeline/errors.ts'
import { Exchange } from '../pipeline/exchange.ts'
import { findKnown } from '../pipeline/gateway.ts'
import type { Standing } from '../limits/limiter.ts'
import { anonymous, type Principal } from '../pipeline/principal.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { isGrpc } from '../protocols/grpc.ts'
import type { Weighed } from '../upstream/pick/pick.ts'
import { screen } from '../pipeline/screen.ts'
import { chooseVariant } from '../pipeline/variant.ts'
import type { Table } from '../runtime.ts'
import type { EndpointReport } from '../upstream/fitness.ts'
import { consider, type Considered } from './considered.ts'

/** A request that is not made. `url` is absolute, or a path; `as`: the consumer to take the caller for. */
const Question = v.strictObject({
  method: v.optional(v.pipe(v.string(), v.regex(/^[A-Z-]{1,32}$/)), 'GET'),
  url: v.pipe(v.string(), v.minLength(1)),
  headers: v.optional(v.record(v.string(), v.string()), {}),
  body: v.optional(v.string()),
  as: v.optional(v.pipe(v.string(), v.minLength(1))),
})
export type Question = v.InferOutput<typeof Question>

/** Reads a question from JSON, or says in a line what is wrong with it. */
export function readQuestion(text: string): Question | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'the body is not JSON'
  }
  const parsed = v.safeParse(Question, value)
  if (!parsed.success) {
    const [issue] = parsed.issues
    return `${v.getDotPath(issue) ?? 'the body'}: ${issue.message}`
  }
  return URL.canParse(parsed.output.url, 'http://localhost') ? parsed.output : 'url: neither an address nor a path'
}

export type Step = Readonly<{ filter: string; verdict: 'pass' | 'answer' | 'refuse'; why: string }>

/** What the gateway would do. `code`: of the error that it would answer with; absent where a backend would be asked. */
export type Explanation = Readonly<{
  route?: string
  rule?: string
  variant?: string
  endpoint?: string
  /** The endpoints of the variant as its policy sees them, the likeliest first; of many, the first of these. */
  endpoints?: readonly Weighed[]
  /** Endpoints that are not asked at present, and why; of many, the first of these. */
  unfit?: readonly EndpointReport[]
  code?: ErrorCode
  steps: readonly Step[]
  considered: readonly Considered[]
}>

/** Goes the way of a request up to where it would be sent, and takes nothing: no turn, no share, no count. */
export async function explain(table: Table, question: Question): Promise<Explanation> {
  const request = unmade(question)
  const received = screen(request)
  if ('code' in received) return { code: received.code, steps: [refusal('screen', received)], considered: [] }
  const exchange = new Exchange(request, unanswered, received, table.version, 'explain', performance.now())
  exchange.explaining = new Map()
  if (question.as !== undefined) exchange.assumed = consumerNamed(question.as, table)
  exchange.body = Buffer.from(question.body ?? '')
  const found = await findKnown(exchange, table)
  const unserved = found === undefined || 'code' in found
  const considered = consider(table.routes(), exchange, unserved ? undefined : found.candidate)
  if (found === undefined) {
    const allow = table.methods(exchange)
    const code = allow.length > 0 ? 'method_not_allowed' : 'no_route'
    return { code, steps: [{ filter: 'match', verdict: 'refuse', why: allow.length > 0 ? `served: ${allow.join(', ')}` : 'no rule matches' }], considered }
  }
  if ('code' in found) return { code: found.code, steps: [refusal('match', found)], considered }
  exchange.rule = found.rule
  exchange.asked = found.candidate.model
  const told = await run(exchange, found.rule)
  const picked = told.code === undefined ? picking(exchange) : {}
  exchange.end()
  return { route: found.rule.route, rule: found.rule.name, ...told, ...picked, considered }
}

/** What of a request would come of it for this caller, and nothing of why. */
export type Foreseen = Readonly<{ route?: string; rule?: string; code?: ErrorCode; limits: readonly Standing[] }>

/** The same for a caller who is known already. */
export async function foresee(table: Table, question: Question, caller: Principal): Promise<Foreseen> {
  const request = unmade(question)
  const received = screen(request)
  if ('code' in received) return { code: received.code, limits: [] }
  const exchange = new Exchange(request, unanswered, received, table.version, 'explain', performance.now())
  exchange.explaining = new Map()
  exchange.assumed = caller
  exchange.body = Buffer.from(question.body ?? '')
  const found = await findKnown(exchange, table)
  if (found === undefined) return { code: 'no_route', limits: [] }
  if ('code' in found) return { code: found.code, limits: [] }
  exchange.rule = found.rule
  exchange.asked = found.candidate.model
  const { code } = await run(exchange, found.rule)
  exchange.end()
  return { route: found.rule.route, rule: found.rule.name, ...(code !== undefined && { code }), limits: exchange.standings ?? [] }
}

/** With the groups and the tier of the first key of that consumer; without one, none. */
function consumerNamed(consumer: string, { source }: Table): Principal {
  const known = [...source.credentials.values()].flatMap(({ keys }) => keys).find((key) => key.consumer === consumer)
  return { ...anonymous, via: 'apiKey', consumer, ...(known && { groups: known.groups, tier: known.tier, credential: known.name }) }
}

async function run(exchange: Exchange, rule: BuiltRule): Promise<Omit<Explanation, 'considered'>> {
  const steps: Step[] = []
  for (const filter of rule.filters) {
    const refused = await filter(exchange)
    const name = rule.filterNames[steps.length] ?? ''
    const why = exchange.explaining?.get(name) ?? ''
    // Nobody starts the way: it is only told that there is one.
    if (refused !== undefined && 'start' in refused) return { steps: [...steps, { filter: name, verdict: 'answer', why }] }
    if (refused !== undefined) return { code: refused.code, steps: [...steps, refusal(name, refused)] }
    steps.push({ filter: name, verdict: 'pass', why })
  }
  const variant = chooseVariant(exchange, rule)
  if (variant === undefined) return { code: 'no_endpoints', steps: [...steps, { filter: 'split', verdict: 'refuse', why: 'no backend takes requests' }] }
  const split: Step = { filter: 'split', verdict: 'pass', why: exchange.explaining?.get('split') ?? '' }
  const to = { variant: variant.name, steps: [...steps, split] }
  const cannot = cannotTake(variant)
  return { ...to, ...unfitOf(variant), ...(cannot !== undefined && passOn(exchange, rule, variant, cannot, to.steps)) }
}

/** The first that can take it in the place of one that cannot; where nobody can, why the first could not. */
function passOn(exchange: Exchange, rule: BuiltRule, chosen: BuiltVariant, code: ErrorCode, steps: readonly Step[]) {
  const passed = [chosen]
  const tried: Step[] = [{ filter: 'fallback', verdict: 'pass', why: `${chosen.name} cannot take it: ${code}` }]
  for (let next = rule.next?.(passed, true); next !== undefined; next = rule.next?.(passed, true)) {
    const cannot = cannotTake(next)
    if (cannot === undefined) {
      exchange.variant = next
      return { variant: next.name, steps: [...steps, ...tried] }
    }
    passed.push(next)
    tried.push({ filter: 'fallback', verdict: 'pass', why: `${next.name} cannot take it: ${cannot}` })
  }
  const { fallbackResponse } = rule
  if (fallbackResponse !== undefined && !isGrpc(exchange.header('content-type'))) {
    return { steps: [...steps, ...tried, { filter: 'fallback', verdict: 'pass', why: `the static answer, with status ${fallbackResponse.status}` } as const] }
  }
  return { code, steps: passed.length > 1 ? [...steps, ...tried] : steps }
}

function cannotTake({ target, backend }: BuiltVariant): ErrorCode | undefined {
  if (target.kind === 'unresolved' || backend === undefined) return 'backend_unresolved'
  return backend.foresee()?.code
}

/** Its endpoints that take no requests at present. */
function unfitOf({ backend }: BuiltVariant): Pick<Explanation, 'unfit'> {
  const unfit = backend?.report().endpoints.filter(({ state }) => state !== 'healthy') ?? []
  return unfit.length > 0 ? { unfit: unfit.slice(0, weighedMax) } : {}
}

function picking(exchange: Exchange): Pick<Explanation, 'endpoint' | 'endpoints'> {
  const endpoints = exchange.variant?.backend?.weigh(exchange).slice(0, weighedMax) ?? []
  const [first] = endpoints
  return first === undefined ? {} : { endpoint: first.endpoint, endpoints }
}

/** A variant may have thousands. */
const weighedMax = 100

const refusal = (filter: string, { code, detail }: Failure): Step => ({ filter, verdict: 'refuse', why: `${code}: ${detail}` })

/** A request as a door would have it, of which nothing was ever sent. */
function unmade({ method, url, headers, body }: Question): DoorRequest {
  const { host, pathname, search } = new URL(url, 'http://localhost')
  const given = Object.entries(headers)
  const hosted = given.some(([name]) => name.toLowerCase() === 'host')
  return {
    method,
    url: pathname + search,
    httpVersion: '1.1',
    rawHeaders: [
      ...(hosted ? [] : ['Host', host]), ...given.flat(),
      ...(body === undefined ? [] : ['Content-Length', String(Buffer.byteLength(body))]),
    ],
    remoteAddress: '',
    encrypted: false,
    read() {},
    resume() {},
    release() {},
  }
}

/** Nothing is answered. */
const unanswered: DoorResponse = {
  statusCode: 200, shouldKeepAlive: false, headersSent: false, writableEnded: false, writableFinished: false, pending: false, plain: true, chunks: true,
  writeHead() {}, writeContinue() {}, flushHeaders() {}, write: () => true, addTrailers() {}, end() {}, cork() {}, uncork() {}, destroy() {}, destroySoon() {}, on() {}, once() {},
}

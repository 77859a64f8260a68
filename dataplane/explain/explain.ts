import type { Limit } from '../../table/limits.ts'
import { asksForTunnel } from '../door/upgrade.ts'
import { isPreflight } from '../filters/cors/preflight.ts'
import type { Standing } from '../limits/limiter.ts'
import type { ErrorCode } from '../pipeline/errors.ts'
import { Exchange } from '../pipeline/exchange.ts'
import { findKnown, trace } from '../pipeline/gateway.ts'
import type { Geo } from '../pipeline/geo.ts'
import type { Networks } from '../pipeline/networks.ts'
import { anonymous, type Principal } from '../pipeline/principal.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import type { CacheTold, LimitTold, SplitTold } from '../pipeline/told.ts'
import { chooseVariant } from '../pipeline/variant.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { screen } from '../pipeline/screen.ts'
import type { Table } from '../runtime.ts'
import type { Pages } from '../server.ts'
import { noBackend } from '../upstream/destination.ts'
import { unreadable } from '../upstream/patience.ts'
import { tunnelFault } from '../upstream/tunnel-request.ts'
import { changesOf } from './changes.ts'
import { consider, describeMatch, type Considered } from './considered.ts'
import { unanswered, unmade, type Imagined, type Question } from './question.ts'
import { isUnreadable, refusal, refusedBy, seen, sendingOf, type Sending, type Step } from './sending.ts'

/** One limit as the request finds it. `left` is null where it could not be asked. Times are milliseconds from now. */
type LimitShown = Readonly<{
  policy: string
  name: string
  unit: Limit['unit']
  amount: number
  left: number | null
  asks: number
  allows: boolean
  /** It only watches. */
  shadow: boolean
  resetsInMs: number
}>

/** Who calls, as far as the rule asks. */
type CallerShown = Readonly<Pick<Principal, 'via' | 'consumer' | 'groups' | 'tier'>>

/** How long the rule lets requests take, and how often it has them tried; milliseconds. */
type TermsShown = Readonly<Pick<BuiltRule, 'timeouts'> & Partial<Pick<BuiltRule, 'retry' | 'hedge' | 'deadlineHeader'>>>

/** What the gateway would do. `code`: of the error that it would answer with; absent where a backend would be asked. */
export type Explanation = Readonly<Sending & {
  route?: string
  rule?: string
  caller?: CallerShown
  split?: SplitTold
  limits?: readonly LimitShown[]
  cache?: CacheTold
  terms?: TermsShown
  considered: readonly Considered[]
}>

/** What the door of a proxy knows beside the table. */
export type Surroundings = Readonly<{ geo?: Geo | undefined; trusted?: Networks | undefined; pages?: Pages | undefined }>

/** Goes the way of a request up to where it would be sent, and takes nothing: no turn, no share, no count. */
export async function explain(table: Table, question: Question, { geo, trusted, pages }: Surroundings = {}): Promise<Explanation> {
  const exchange = imagine(table, question)
  if (!(exchange instanceof Exchange)) return { code: exchange.code, steps: [refusal('screen', exchange)], considered: [] }
  if (question.as !== undefined) exchange.assumed = consumerNamed(question.as, table)
  if (trusted !== undefined) trace(exchange, trusted)
  exchange.geo = geo
  if (pages?.before(exchange.path) === true) return { steps: [page], considered: [] }
  const tunnel = asksForTunnel(exchange.request, exchange.received)
  const fault = tunnel ? tunnelFault(exchange) : undefined
  if (fault !== undefined) return { code: fault.code, steps: [refusal('tunnel', fault)], considered: [] }
  const shared = isPreflight(exchange) ? table.shared(exchange, exchange.header('access-control-request-method') ?? '') : undefined
  if (shared?.rule.cors !== undefined) return { route: shared.rule.route, rule: shared.rule.name, steps: [preflight], considered: [] }
  const found = await findKnown(exchange, table)
  const unserved = found === undefined || 'code' in found
  const considered = consider(table.routes(), exchange, unserved ? undefined : found.candidate)
  if (found === undefined) {
    const allow = table.methods(exchange)
    if (!tunnel && pages?.after(exchange.path) === true) return { steps: [perhapsPage], considered }
    const code = allow.length > 0 ? 'method_not_allowed' : 'no_route'
    return { code, steps: [{ filter: 'match', verdict: 'refuse', why: allow.length > 0 ? `served: ${allow.join(', ')}` : 'no rule matches' }], considered }
  }
  if ('code' in found) return { code: found.code, steps: [refusal('match', found)], considered }
  const { rule, candidate } = found
  exchange.rule = rule
  exchange.asked = candidate.model
  const matched: Step = { filter: 'match', verdict: 'pass', why: describeMatch(candidate) }
  const { steps, ...way } = await wayOf(exchange, rule, { given: Buffer.from(question.body ?? ''), tunnel })
  exchange.end()
  return { route: rule.route, rule: rule.name, ...way, ...toldBy(exchange), terms: termsOf(rule), steps: [matched, ...steps], considered }
}

const page: Step = { filter: 'pages', verdict: 'answer', why: 'it is for the portal' }
const perhapsPage: Step = { filter: 'pages', verdict: 'answer', why: 'no rule serves it: the gateway tells what it knows of the models, or answers 404' }
const preflight: Step = { filter: 'cors', verdict: 'answer', why: 'a preflight, which the gateway answers' }

function imagine(table: Table, question: Imagined) {
  const request = unmade(question)
  const received = screen(request)
  if ('code' in received) return received
  const exchange = new Exchange(request, unanswered, received, table.version, 'explain', performance.now())
  exchange.explaining = new Map()
  exchange.told = {}
  return exchange
}

/** What of a request would come of it for this caller, and nothing of why. */
export type Foreseen = Readonly<{ route?: string; rule?: string; code?: ErrorCode; limits: readonly Standing[] }>

/** The same for a caller who is known already. */
export async function foresee(table: Table, question: Imagined, caller: Principal): Promise<Foreseen> {
  const exchange = imagine(table, question)
  if (!(exchange instanceof Exchange)) return { code: exchange.code, limits: [] }
  exchange.assumed = caller
  const found = await findKnown(exchange, table)
  if (found === undefined) return { code: 'no_route', limits: [] }
  if ('code' in found) return { code: found.code, limits: [] }
  const { rule } = found
  exchange.rule = rule
  exchange.asked = found.candidate.model
  const code = await codeOf(exchange, rule)
  exchange.end()
  return { route: rule.route, rule: rule.name, ...(code !== undefined && { code }), limits: exchange.told?.standings ?? [] }
}

async function codeOf(exchange: Exchange, rule: BuiltRule): Promise<ErrorCode | undefined> {
  for (const filter of rule.filters) {
    const outcome = await filter(exchange)
    if (outcome !== undefined) return 'code' in outcome ? outcome.code : undefined
  }
  const passed: BuiltVariant[] = []
  let first: ErrorCode | undefined
  for (let variant = chooseVariant(exchange, rule); variant !== undefined; variant = rule.next?.(passed, true)) {
    const code = variant.target.kind === 'unresolved' || variant.backend === undefined ? 'backend_unresolved' : variant.backend.foresee()?.code
    if (code === undefined) return undefined
    first ??= code
    passed.push(variant)
  }
  return rule.fallbackResponse !== undefined && !isGrpc(exchange.header('content-type')) ? undefined : first ?? 'no_endpoints'
}

/** With the groups and the tier of the first key of that consumer; without one, none. */
function consumerNamed(consumer: string, { source }: Table): Principal {
  const known = [...source.credentials.values()].flatMap(({ keys }) => keys).find((key) => key.consumer === consumer)
  return { ...anonymous, via: 'apiKey', consumer, ...(known && { groups: known.groups, tier: known.tier, credential: known.name }) }
}

/** The filters in their order, each with what it makes of the request, and then the backend. */
async function wayOf(exchange: Exchange, rule: BuiltRule, asked: Readonly<{ given: Buffer; tunnel: boolean }>): Promise<Sending> {
  const steps: Step[] = []
  for (const filter of rule.filters) {
    const before = seen(exchange, asked.given)
    const outcome = await filter(exchange)
    const name = rule.filterNames[steps.length] ?? ''
    const changes = changesOf(before, seen(exchange, asked.given))
    const done = { filter: name, why: exchange.explaining?.get(name) ?? '', ...(changes && { changes }) }
    const { variant } = exchange
    // Nobody starts the way: it is only told that there is one.
    if (outcome !== undefined && 'start' in outcome && rule.compose !== undefined && isUnreadable(exchange, rule)) return { code: unreadable.code, steps: [...steps, refusal(name, unreadable)] }
    if (outcome !== undefined && 'start' in outcome) return { ...(variant && { variant: variant.name }), steps: [...steps, { ...done, verdict: 'answer' }] }
    if (outcome !== undefined) {
      const { code, ...refused } = refusedBy(exchange, variant, outcome, [])
      return { ...refused, ...(code && { code }), steps: [...steps, refusal(name, outcome), ...(code === undefined ? refused.steps : [])] }
    }
    steps.push({ ...done, verdict: 'pass' })
  }
  const variant = chooseVariant(exchange, rule)
  const split: Step = { filter: 'split', verdict: variant === undefined ? 'refuse' : 'pass', why: exchange.explaining?.get('split') ?? '' }
  const sent = variant === undefined ? refusedBy(exchange, undefined, noBackend, []) : await sendingOf(exchange, rule, variant, asked)
  return { ...sent, steps: [...steps, split, ...sent.steps] }
}

function toldBy({ principal, told = {} }: Exchange): Pick<Explanation, 'caller' | 'split' | 'limits' | 'cache'> {
  const { split, limits, cache } = told
  return {
    ...(principal && { caller: { via: principal.via, consumer: principal.consumer, groups: principal.groups, tier: principal.tier } }),
    ...(split && { split }),
    ...(limits && { limits: limits.map(shown) }),
    ...(cache && { cache }),
  }
}

function shown({ limit: { policy, name, unit, amount, shadow }, remaining, resetAfter, units, allows }: LimitTold): LimitShown {
  return { policy, name, unit, amount, left: Number.isNaN(remaining) ? null : remaining, asks: units, allows, shadow, resetsInMs: Math.ceil(resetAfter) }
}

function termsOf({ timeouts, retry, hedge, deadlineHeader }: BuiltRule): TermsShown {
  return { timeouts, ...(retry && { retry }), ...(hedge && { hedge }), ...(deadlineHeader !== undefined && { deadlineHeader }) }
}

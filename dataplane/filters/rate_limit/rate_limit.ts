import { foreseen } from '../../limits/foreseen.ts'
import type { Decision, Take } from '../../limits/limiter.ts'
import { callerOf } from '../../pipeline/caller.ts'
import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Principal } from '../../pipeline/principal.ts'
import type { LimitTold } from '../../pipeline/told.ts'
import { caller, type Caller } from '../../telemetry/callers.ts'
import type { LimitTally } from '../../telemetry/limits.ts'
import type { Filter, FilterDeps, Outcome } from '../filter.ts'
import { buildLimit, type BuiltLimit } from './built.ts'
import { announce, type Told } from './headers.ts'
import { needsOf } from './needs.ts'
import { refusal, storeUnavailable } from './refusal.ts'
import { lookAt, subjectAtHand, type Subject } from '../../metering/subject.ts'
import { billedPart, watch } from '../../metering/watch.ts'

/** What is asked of the counts for one request: each take, and the limit that it is of. `waits`: some let requests wait. */
type Wanted = Readonly<{ takes: readonly Take[]; of: readonly BuiltLimit[]; waits: boolean; caller: Caller }>
type Asked = Readonly<{ subject: Subject; wanted: Wanted }>
type Deps = Pick<FilterDeps, 'limiter' | 'limitTally'> & Readonly<{
  tenant: string
  readsUsage: boolean
  /** An answer from the rule's cache counts less than one of a backend. */
  discounts: boolean
  /** What is asked for callers seen before, where it is the same for each of their requests. */
  known: WeakMap<Principal, Wanted> | undefined
}>

export const rateLimit: Filter = {
  name: 'rate_limit',
  build({ route, rule }, { limiter, limitTally }) {
    if (rule.limits === undefined || rule.limits.length === 0) return undefined
    const limits = rule.limits.map(buildLimit)
    const needs = needsOf(limits)
    const known = limits.every(({ byCaller }) => byCaller) ? new WeakMap<Principal, Wanted>() : undefined
    const deps: Deps = { limiter, limitTally, tenant: route.tenant, readsUsage: needs.usage, discounts: rule.cache !== undefined && rule.cache.billed < 100, known }
    return function limitRequest(exchange) {
      const subject = subjectAtHand(exchange, needs)
      return subject === undefined
        ? lookAt(exchange, needs).then((found) => ('code' in found ? found : decide(found, limits, deps)))
        : decide(subject, limits, deps)
    }
  },
}

function decide(subject: Subject, limits: readonly BuiltLimit[], deps: Deps): Outcome | Promise<Outcome> {
  const wanted = want(limits, subject, deps)
  if ('code' in wanted) return wanted
  if (wanted.takes.length === 0) return undefined
  const asked = { subject, wanted }
  if (subject.exchange.explaining !== undefined) return imagine(asked, deps)
  if (wanted.waits) return waitInLine(asked, deps)
  const decision = deps.limiter.take(deps.tenant, wanted.takes)
  return decision instanceof Promise ? decision.then((settled) => conclude(asked, settled, undefined, deps)) : conclude(asked, decision, undefined, deps)
}

/** Waits where a limit lets requests wait: not beyond the time that the whole request has, and not for a client that has left. */
async function waitInLine(asked: Asked, deps: Deps): Promise<Outcome> {
  const { subject: { exchange }, wanted: { takes, of, caller: { name } } } = asked
  const { request } = exchange.rule?.timeouts ?? {}
  const { decision, queue } = await deps.limiter.wait({
    tenant: deps.tenant,
    takes,
    queues: of.map(({ limit }) => limit.queue),
    principal: name,
    deadline: request === undefined ? undefined : exchange.startedAt + request,
    onLeave: (leave) => exchange.onEnd(leave),
  })
  return queue === 'left' ? gone : conclude(asked, decision, queue, deps)
}

const gone = failure('client_closed', 'The client left while its request waited for a limit.')

const priceless = failure('invalid_request', 'What the request costs cannot be told from what it says.')

/** Whoever is known by no name is counted by their address, which a principal does not tell. */
function want(limits: readonly BuiltLimit[], subject: Subject, { known, tenant, discounts }: Deps): Wanted | Failure {
  const { principal } = subject.exchange
  if (known === undefined || principal === undefined || principal.consumer === '') return wantNow(limits, subject, tenant, discounts)
  const before = known.get(principal)
  if (before !== undefined) return before
  const wanted = wantNow(limits, subject, tenant, discounts)
  if (!('code' in wanted)) known.set(principal, wanted)
  return wanted
}

function wantNow(limits: readonly BuiltLimit[], subject: Subject, tenant: string, discounts: boolean): Wanted | Failure {
  const takes: Take[] = []
  const of: BuiltLimit[] = []
  for (const built of limits) {
    if (!built.applies(subject)) continue
    const { limit: { algorithm, amount, scope, shadow, onStoreFailure }, price } = built
    const units = price === undefined ? 1 : price.reserve(subject)
    if (units === undefined) return priceless
    const hold = algorithm.type === 'Concurrency' || price !== undefined || discounts
    for (const key of built.keys(subject)) {
      of.push(built)
      takes.push({ key, algorithm, amount, units, hold, scope, shadow, onStoreFailure })
    }
  }
  return { takes, of, waits: of.some(({ limit: { queue } }) => queue !== undefined), caller: caller(tenant, callerOf(subject.exchange)) }
}

function conclude(asked: Asked, decision: Decision, queue: 'full' | 'timeout' | undefined, deps: Deps): Outcome {
  const { subject: { exchange }, wanted } = asked
  const { limitTally } = deps
  count(wanted, decision, queue, limitTally)
  exchange.caller = wanted.caller
  const told = tell(wanted, decision)
  if (told.length > 0) (exchange.headTaps ??= []).push((_, headers) => announce(headers, told))
  if (!decision.allowed) {
    limitTally.callers.rejected(wanted.caller, wanted)
    return decision.unavailable ? storeUnavailable : refusal(exchange, told.filter(({ verdict }) => !verdict.allows), queue)
  }
  limitTally.callers.admitted(wanted.caller, wanted)
  if (decision.held !== undefined) holdOn(asked, decision, deps)
  return undefined
}

/** Settles what was reserved, whichever way the request ends; at once, where the client has left meanwhile. */
function holdOn({ subject, wanted: { takes, of } }: Asked, decision: Decision, { readsUsage, discounts, limiter }: Deps): void {
  const { exchange } = subject
  const priced = of.some(({ price }) => price !== undefined)
  const watched = priced ? watch(subject, readsUsage) : undefined
  if (watched !== undefined && readsUsage) exchange.metered = true
  exchange.onEnd(() => {
    const spent = watched?.spent()
    if (spent === undefined && !discounts) {
      limiter.settle(decision)
      return
    }
    const billed = exchange.cached?.billed ?? 1
    if (readsUsage && spent !== undefined) exchange.used = billedPart(spent, billed)
    limiter.settle(decision, of.map(({ price, limit: { unit } }, i) => {
      const reserved = takes[i]?.units ?? 0
      // A request counts also where it came to nothing.
      if (price === undefined) return reserved * billed
      if (spent === undefined) return 0
      const units = (price.settle(subject, spent) ?? reserved) * billed
      if (unit === 'cost') exchange.cost ??= units
      return units
    }))
  })
}

function count({ takes, of }: Wanted, { allowed, unavailable, verdicts }: Decision, queue: 'full' | 'timeout' | undefined, tally: LimitTally): void {
  for (let i = 0; i < of.length; i++) {
    const { label, limit } = of[i] ?? {}
    if (label === undefined || limit === undefined) continue
    if (verdicts[i]?.allows === true) {
      if (allowed) tally.decided(label, 'allowed')
    } else if (limit.shadow) tally.decided(label, 'shadow_rejected')
    else if (queue !== undefined && limit.queue !== undefined) tally.decided(label, `queue_${queue}`)
    else tally.decided(label, unavailable && takes[i]?.onStoreFailure === 'Deny' ? 'unavailable' : 'rejected')
  }
}

/** What the caller is told: nothing of limits that only watch, and of several counts of one limit the one with the least left. */
function tell({ of }: Wanted, { verdicts }: Pick<Decision, 'verdicts'>): readonly Told[] {
  const [only] = of
  const [verdict] = verdicts
  if (of.length === 1 && only !== undefined) return verdict === undefined || only.limit.shadow ? [] : [{ limit: only.limit, verdict }]
  const told = new Map<string, Told>()
  for (const [i, { limit }] of of.entries()) {
    const verdict = verdicts[i]
    if (verdict === undefined || limit.shadow) continue
    const before = told.get(limit.name)?.verdict
    if (before === undefined || (before.allows && !verdict.allows) || (before.allows === verdict.allows && verdict.remaining < before.remaining)) {
      told.set(limit.name, { limit, verdict })
    }
  }
  return [...told.values()]
}

/** What would become of it: looks at the counts, and takes nothing. */
async function imagine({ subject: { exchange }, wanted }: Asked, { tenant, limiter }: Deps): Promise<Outcome> {
  const { takes, of } = wanted
  const looked = await limiter.take(tenant, takes.map((take) => ({ ...take, units: 0, hold: false })))
  const verdicts = takes.map((take, i) => foreseen(take, looked.verdicts[i]))
  const limits = of.flatMap(({ limit }, i): LimitTold[] => {
    const [verdict, take] = [verdicts[i], takes[i]]
    return verdict && take ? [{ limit, remaining: verdict.remaining, resetAfter: verdict.resetAfter, units: take.units, allows: verdict.allows }] : []
  })
  const told = tell(wanted, { verdicts })
  exchange.told = { ...exchange.told, limits, standings: told.map(({ limit, verdict: { remaining, resetAfter } }) => ({ limit, remaining, resetAfter })) }
  const say = (more: string) => exchange.explaining?.set('rate_limit', limits.map(stateOf).join(', ') + more)
  say('')
  if (looked.unavailable) return storeUnavailable
  const refusing = told.filter(({ verdict }) => !verdict.allows)
  if (refusing.length === 0) return undefined
  const waits = refusing.every(({ limit: { queue }, verdict: { retryAfter } }) => queue !== undefined && Number.isFinite(retryAfter))
  const queue = refusing[0]?.limit.queue
  if (!waits || queue === undefined) return refusal(exchange, refusing)
  const [first] = refusing
  // What nobody gives back comes when the limit says.
  const inTime = takes.some(({ hold }) => hold) || (first?.verdict.retryAfter ?? 0) <= queue.maxWait
  say(inTime ? `; it would wait for that, up to ${queue.maxWait} ms` : '')
  return inTime ? undefined : refusal(exchange, refusing, 'timeout')
}

function stateOf({ limit: { policy, name, amount, unit, shadow }, remaining, units }: LimitTold): string {
  const left = Number.isNaN(remaining) ? 'unknown' : `${Math.floor(remaining)} of ${amount}`
  const asked = unit === 'requests' ? '' : `, ${Math.ceil(units)} ${unit} asked for`
  return `${policy} ${name}: ${left} left${asked}${shadow ? ', which only watches' : ''}`
}

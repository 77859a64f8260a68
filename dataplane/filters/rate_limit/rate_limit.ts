import type { Limit } from '../../../table/limits.ts'
import type { Decision, Limiter, Take } from '../../limits/limiter.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import type { LimitTally } from '../../telemetry/limits.ts'
import type { Filter, Outcome } from '../filter.ts'
import { createSelector } from './applies.ts'
import { createKeys } from './counters.ts'
import { announce, type Told } from './headers.ts'
import { refusal, storeUnavailable } from './refusal.ts'

type BuiltLimit = Readonly<{ limit: Limit; applies: (exchange: Exchange) => boolean; keys: (exchange: Exchange) => readonly string[] }>

/** What is asked of the counts for one request: each take, and the limit that it is of. */
type Asked = Readonly<{ takes: readonly Take[]; of: readonly Limit[] }>

export const rateLimit: Filter = {
  name: 'rate_limit',
  build({ route, rule }, { limiter, limitTally }) {
    if (rule.limits === undefined || rule.limits.length === 0) return undefined
    const limits = rule.limits.map(buildLimit)
    return function limitRequest(exchange) {
      const asked = ask(limits, exchange)
      if (asked.takes.length === 0) return undefined
      if (exchange.explaining !== undefined) return imagine(exchange, route.tenant, asked, limiter)
      const decision = limiter.take(route.tenant, asked.takes)
      return decision instanceof Promise
        ? decision.then((settled) => conclude(exchange, asked, settled, limiter, limitTally))
        : conclude(exchange, asked, decision, limiter, limitTally)
    }
  },
}

function buildLimit(limit: Limit): BuiltLimit {
  return { limit, applies: createSelector(limit.appliesTo), keys: createKeys(limit) }
}

function ask(limits: readonly BuiltLimit[], exchange: Exchange): Asked {
  const takes: Take[] = []
  const of: Limit[] = []
  for (const { limit, applies, keys } of limits) {
    if (!applies(exchange)) continue
    const { algorithm, amount, scope, shadow, onStoreFailure } = limit
    for (const key of keys(exchange)) {
      of.push(limit)
      takes.push({ key, algorithm, amount, units: 1, hold: algorithm.type === 'Concurrency', scope, shadow, onStoreFailure })
    }
  }
  return { takes, of }
}

function conclude(exchange: Exchange, asked: Asked, decision: Decision, limiter: Limiter, tally: LimitTally): Outcome {
  const { allowed, unavailable } = decision
  count(asked, decision, tally)
  const told = tell(asked, decision)
  if (told.length > 0) (exchange.headTaps ??= []).push((_, headers) => announce(headers, told))
  if (allowed) {
    // Whichever way it ends, and at once where the client has left meanwhile.
    if (decision.held !== undefined) exchange.onEnd(() => limiter.settle(decision))
    return undefined
  }
  return unavailable ? storeUnavailable : refusal(exchange, told.filter(({ verdict }) => !verdict.allows))
}

function count({ takes, of }: Asked, { allowed, unavailable, verdicts }: Decision, tally: LimitTally): void {
  for (const [i, { policy, name, shadow }] of of.entries()) {
    if (verdicts[i]?.allows === true) {
      if (allowed) tally.decided(policy, name, 'allowed')
    } else if (shadow) tally.decided(policy, name, 'shadow_rejected')
    else tally.decided(policy, name, unavailable && takes[i]?.onStoreFailure === 'Deny' ? 'unavailable' : 'rejected')
  }
}

/** What the caller is told: nothing of limits that only watch, and of several counts of one limit the one with the least left. */
function tell({ of }: Asked, { verdicts }: Decision): readonly Told[] {
  const told = new Map<string, Told>()
  for (const [i, limit] of of.entries()) {
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
async function imagine(exchange: Exchange, tenant: string, asked: Asked, limiter: Limiter): Promise<Outcome> {
  const decision = await limiter.take(tenant, asked.takes.map((take) => ({ ...take, units: 0, hold: false })))
  const verdicts = decision.verdicts.map((verdict, i) => ({ ...verdict, allows: !(verdict.remaining < (asked.takes[i]?.units ?? 0)) }))
  const told = tell(asked, { ...decision, verdicts })
  const left = asked.of.map(({ policy, name, amount }, i) => `${policy} ${name}: ${verdicts[i]?.remaining ?? '?'} of ${amount} left`)
  exchange.explaining?.set('rate_limit', left.join(', '))
  const refusing = told.filter(({ verdict }) => !verdict.allows)
  return refusing.length === 0 ? undefined : refusal(exchange, refusing)
}

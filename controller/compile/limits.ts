import type { RateLimitPolicy } from '../../crds/types.gen.ts'
import type { Algorithm, Counter, Limit } from '../../table/limits.ts'
import { compileCondition, compileCost } from '../../table/expression.ts'
import type { Problem } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote } from './problems.ts'

export type PolicySpec = RateLimitPolicy['spec']
type LimitSpec = PolicySpec['limits'][number]

/** What holds where a queue says nothing. `maxWait` in milliseconds. */
const queueDefaults = { maxWait: 2000, maxDepth: 100 }

/** @param policy `namespace/name`: with the limit's own name, what its counts are called */
export function compileLimit(policy: string, spec: LimitSpec, place: string, problems: Problem[]): Limit {
  const { name, appliesTo = {}, counters = [], rate, onLimit, queue } = spec
  const duration = (text: string, at: string): number => {
    const parsed = parseDuration(text)
    if (parsed !== null) return parsed
    problems.push(invalid(`${place}.${at}`, `${quote(text)} is no duration; write one such as 250ms, 30s or 1h30m`))
    return 0
  }
  const { when } = appliesTo
  const condition = when === undefined ? undefined : compileCondition(when)
  if (condition && 'fault' in condition) problems.push(invalid(`${place}.appliesTo.when`, condition.fault))
  const cost = spec.cost === undefined ? undefined : compileCost(spec.cost)
  if (cost && 'fault' in cost) problems.push(invalid(`${place}.cost`, cost.fault))
  return {
    policy,
    name,
    appliesTo: {
      tiers: appliesTo.tiers ?? [],
      groups: appliesTo.groups ?? [],
      consumers: appliesTo.consumers ?? [],
      models: appliesTo.models ?? [],
      ...(when === undefined ? {} : { when }),
    },
    counters: counters.map(compileCounter),
    algorithm: compileAlgorithm(spec, duration),
    ...amountOf(rate),
    ...(spec.cost === undefined ? {} : { cost: spec.cost }),
    ...(onLimit !== 'Queue' ? {} : {
      queue: {
        maxWait: queue?.maxWait === undefined ? queueDefaults.maxWait : duration(queue.maxWait, 'queue.maxWait'),
        maxDepth: queue?.maxDepth ?? queueDefaults.maxDepth,
      },
    }),
    scope: spec.scope ?? 'Global',
    shadow: spec.mode === 'Shadow',
    onStoreFailure: spec.onStoreFailure ?? 'Local',
  }
}

function compileCounter({ type, name = '' }: NonNullable<LimitSpec['counters']>[number]): Counter {
  if (type === 'Header') return { type, name: name.toLowerCase() }
  return type === 'Claim' ? { type, name } : { type }
}

function compileAlgorithm(
  { algorithm: type = 'FixedWindow', rate }: LimitSpec,
  duration: (text: string, at: string) => number,
): Algorithm {
  if (type === 'Concurrency') return { type }
  const text = rate.window ?? ''
  const window = text === 'month' ? text : duration(text, 'rate.window')
  return type === 'TokenBucket' ? { type, window, burst: rate.burst ?? 0 } : { type, window }
}

function amountOf({ requests, tokens, cost }: LimitSpec['rate']): Pick<Limit, 'unit' | 'amount'> {
  if (tokens !== undefined) return { unit: 'tokens', amount: tokens }
  return cost === undefined ? { unit: 'requests', amount: requests ?? 0 } : { unit: 'cost', amount: cost }
}

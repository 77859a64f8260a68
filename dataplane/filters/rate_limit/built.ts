import { compileCondition, compileCost, type Condition, type Cost } from '../../../table/expression.ts'
import type { Limit } from '../../../table/limits.ts'
import { labelOf } from '../../telemetry/limits.ts'
import { ExchangeFacts } from '../../pipeline/facts.ts'
import { anonymous } from '../../pipeline/principal.ts'
import { createKeys } from './counters.ts'
import { priceOf, type Price } from './price.ts'
import type { Subject } from '../../metering/subject.ts'

/** One limit, ready to run. */
export type BuiltLimit = Readonly<{
  limit: Limit
  condition: Condition | undefined
  cost: Cost | undefined
  applies: (subject: Subject) => boolean
  keys: (subject: Subject) => readonly string[]
  /** Undefined where a request is one, whatever it asks for. */
  price: Price | undefined
  /** Who calls is all that it looks at: what it asks of one request of theirs it asks of every one. */
  byCaller: boolean
  /** What its decisions are counted under. */
  label: string
}>

const ofCaller: ReadonlySet<Limit['counters'][number]['type']> = new Set(['Principal', 'Tier', 'Group', 'Claim'])

export function buildLimit(limit: Limit): BuiltLimit {
  const condition = limit.appliesTo.when === undefined ? undefined : conditionOf(limit.appliesTo.when)
  const cost = limit.cost === undefined ? undefined : costOf(limit.cost)
  return {
    limit, condition, cost,
    applies: createSelector(limit.appliesTo, condition),
    keys: createKeys(limit),
    price: limit.unit === 'requests' ? undefined : priceOf(limit, cost),
    byCaller: limit.unit === 'requests' && condition === undefined && limit.appliesTo.models.length === 0 && limit.counters.every(({ type }) => ofCaller.has(type)),
    label: labelOf(limit),
  }
}

/** Whether a limit is for a request: all of what its `appliesTo` gives must hold. */
function createSelector({ tiers, groups, consumers, models }: Limit['appliesTo'], condition: Condition | undefined): BuiltLimit['applies'] {
  const tests: BuiltLimit['applies'][] = []
  if (tiers.length > 0) tests.push(({ exchange: { principal } }) => principal?.tier !== undefined && tiers.includes(principal.tier))
  if (groups.length > 0) tests.push(({ exchange: { principal } }) => principal?.groups.some((group) => groups.includes(group)) ?? false)
  if (consumers.length > 0) tests.push(({ exchange: { principal } }) => principal !== undefined && consumers.includes(principal.consumer))
  if (models.length > 0) tests.push(({ model }) => models.includes(model))
  if (condition !== undefined) {
    tests.push(({ exchange, model }) => condition.holds({ request: new ExchangeFacts(exchange, model), principal: exchange.principal ?? anonymous }))
  }
  return (subject) => tests.every((holds) => holds(subject))
}

/** The controller has compiled both already. Where the two disagree, the limit is for everybody, and its cost is unknown. */
function conditionOf(when: string): Condition | undefined {
  const condition = compileCondition(when)
  return 'fault' in condition ? undefined : condition
}

function costOf(source: string): Cost | undefined {
  const cost = compileCost(source)
  return 'fault' in cost ? undefined : cost
}

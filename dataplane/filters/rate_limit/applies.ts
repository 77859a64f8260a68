import type { Limit } from '../../../table/limits.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { modelOf } from './counters.ts'

/** Whether a limit is for a request: all of what its `appliesTo` gives must hold. */
export function createSelector({ tiers, groups, consumers, models }: Limit['appliesTo']): (exchange: Exchange) => boolean {
  const conditions: ((exchange: Exchange) => boolean)[] = []
  if (tiers.length > 0) conditions.push(({ principal }) => principal?.tier !== undefined && tiers.includes(principal.tier))
  if (groups.length > 0) conditions.push(({ principal }) => principal?.groups.some((group) => groups.includes(group)) ?? false)
  if (consumers.length > 0) conditions.push(({ principal }) => principal !== undefined && consumers.includes(principal.consumer))
  if (models.length > 0) conditions.push((exchange) => models.includes(modelOf(exchange)))
  return (exchange) => conditions.every((holds) => holds(exchange))
}

import type { Counter, Limit } from '../../../table/limits.ts'
import { counterKeys } from '../../limits/key.ts'
import { callerOf, networkOf } from '../../pipeline/caller.ts'
import { chooseVariant } from '../../pipeline/variant.ts'
import type { Subject } from '../../metering/subject.ts'

/** So many counts one limit may ask of one request; who is in more groups is counted by the first of them. */
const keysMax = 256

/** What a counter reads from a request. More than one value: each is counted. */
type Reading = (subject: Subject) => string | readonly string[]

/**
 * The names of the counts that a limit asks of a request: of one counter with several values (the groups of a caller)
 * each. A request that lacks what a counter reads shares one count with all others that lack it: leaving a header out
 * must not be a way around a limit.
 */
export function createKeys(limit: Pick<Limit, 'policy' | 'name' | 'algorithm' | 'counters'>): (subject: Subject) => readonly string[] {
  const keyOf = counterKeys(limit)
  const readings = limit.counters.map(readingOf)
  if (readings.length === 0) {
    const only = [keyOf([])]
    return () => only
  }
  const [one] = readings
  return (subject) => {
    const first = readings.length === 1 && one !== undefined ? one(subject) : undefined
    if (typeof first === 'string') return [keyOf([first])]
    let rows: (readonly string[])[] = [[]]
    for (const read of readings) {
      const value = read(subject)
      if (typeof value === 'string') rows = rows.map((row) => [...row, value])
      else {
        const values = value.length === 0 ? [''] : [...new Set(value)].sort()
        rows = rows.flatMap((row) => values.map((one) => [...row, one])).slice(0, keysMax)
      }
    }
    return rows.map(keyOf)
  }
}

function readingOf(counter: Counter): Reading {
  switch (counter.type) {
    case 'Principal':
      return ({ exchange }) => callerOf(exchange)
    case 'SourceIP':
      return ({ exchange }) => networkOf(exchange.clientAddress)
    case 'Tier':
      return ({ exchange }) => exchange.principal?.tier ?? ''
    case 'Group':
      return ({ exchange }) => exchange.principal?.groups ?? []
    case 'Model':
      return ({ model }) => model
    case 'Variant':
      return ({ exchange }) => (exchange.rule && chooseVariant(exchange, exchange.rule)?.name) ?? ''
    case 'Route':
      return ({ exchange }) => exchange.rule?.route ?? ''
    case 'Claim':
      return ({ exchange }) => claimValues(exchange.principal?.claims.get(counter.name))
    case 'Header':
      break
  }
  return ({ exchange }) => exchange.header(counter.name) ?? ''
}

/** A claim with a list counts each of its values. */
function claimValues(claim: unknown): string | readonly string[] {
  if (Array.isArray(claim)) return claim.flatMap(claimValues)
  if (typeof claim === 'string') return claim
  return claim === undefined || claim === null ? '' : JSON.stringify(claim)
}

import type { Route, Rule } from '../../table/route.ts'
import type { Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'

/** Runs once a request, before a backend is chosen. Undefined lets it pass. */
export type FilterFunction = (exchange: Exchange) => Failure | undefined

/**
 * One step of the way in. `build` runs once for each rule of a table and returns a named function, or undefined where
 * the rule does not ask for it: a filter that does not apply costs nothing.
 */
export type Filter = Readonly<{
  name: string
  build(config: Readonly<{ route: Route; rule: Rule }>): FilterFunction | undefined
}>

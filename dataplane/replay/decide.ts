import type { Route, Rule } from '../../table/route.ts'
import type { ErrorCode, Failure } from '../pipeline/errors.ts'
import { findKnown } from '../pipeline/gateway.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { chooseVariant } from '../pipeline/variant.ts'
import type { Table } from '../runtime.ts'
import type { Recorded } from './recorded.ts'
import { Replayed } from './replayed.ts'

/** What a table decides of a recorded request. `unknown`: what the record would have to have for that to be certain. */
export type Decision = Readonly<{
  route: string | undefined
  rule: string | undefined
  /** Of what refuses it; undefined: it goes to a backend. */
  code: ErrorCode | undefined
  why: string
  variant: string | undefined
  /** It sticks to the variant, or asks for it; otherwise variants take turns. */
  settled: boolean
  unknown: ReadonlySet<string>
  /** Called when the request is over, where something waits for that. */
  end: (() => void) | undefined
}>

/** Filters that decide whether a request may go on: the others change it, or ask others. */
const deciding = new Set(['authorization', 'rate_limit'])

/** Sends recorded requests through a table that nobody else uses, and takes turns and counts of limits as they come. */
export function createDecider(table: Table): (recorded: Recorded) => Decision | Promise<Decision> {
  const rules = new Map<BuiltRule, Reads>()
  for (const { route, rules: built } of table.routes()) {
    for (const [at, rule] of built.entries()) {
      const source = route.rules[at]
      if (source !== undefined) rules.set(rule, readsOf(route, source))
    }
  }

  return (recorded) => {
    const exchange = new Replayed(recorded, table.version)
    const found = findKnown(exchange, table)
    return found instanceof Promise ? found.then((settled) => decide(exchange, settled)) : decide(exchange, found)
  }

  function decide(exchange: Replayed, found: Awaited<ReturnType<typeof findKnown>>): Decision | Promise<Decision> {
    if (found === undefined) return outcome(exchange, undefined, table.methods(exchange).length > 0 ? 'method_not_allowed' : 'no_route')
    if ('code' in found) return outcome(exchange, undefined, found.code)
    const { rule, candidate } = found
    exchange.rule = rule
    exchange.asked = candidate.model
    note(exchange, rule)
    if (rule.authenticate !== undefined) {
      const verdict = exchange.authenticated(rule.authenticate)
      if (verdict instanceof Promise) return outcome(exchange, rule, 'auth_unavailable')
      if ('code' in verdict) return outcome(exchange, rule, verdict.code)
      exchange.principal = verdict
    }
    return filtered(exchange, rule, 0)
  }

  function filtered(exchange: Replayed, rule: BuiltRule, from: number): Decision | Promise<Decision> {
    for (let at = from; at < rule.filters.length; at++) {
      if (!deciding.has(rule.filterNames[at] ?? '')) continue
      const told = rule.filters[at]?.(exchange)
      if (told instanceof Promise) return told.then((settled) => settled !== undefined && 'code' in settled ? outcome(exchange, rule, settled) : filtered(exchange, rule, at + 1))
      if (told !== undefined && 'code' in told) return outcome(exchange, rule, told)
    }
    const variant = chooseVariant(exchange, rule)
    if (rule.compose !== undefined) return outcome(exchange, rule, undefined)
    return outcome(exchange, rule, variant === undefined ? 'no_endpoints' : variant.target.kind === 'unresolved' ? 'backend_unresolved' : undefined)
  }

  /** What of it the rule asks for in ways that do not show while it is decided. */
  function note(exchange: Replayed, rule: BuiltRule): void {
    const { recorded, unknown } = exchange
    const { headers, parameters, overrides, split } = rules.get(rule) ?? none
    for (const name of headers) if (!recorded.headers.has(name)) unknown.add(`header ${name}`)
    for (const name of parameters) if (!recorded.parameters.has(name)) unknown.add(`query ${name}`)
    for (const name of overrides) if (!recorded.headers.has(name)) unknown.add(`header ${name}`)
    if (split && recorded.route === rule.route && recorded.rule === rule.name) exchange.bucket = recorded.bucket
  }

  function outcome(exchange: Replayed, rule: BuiltRule | undefined, refused: ErrorCode | Failure | undefined): Decision {
    const { variant, unknown, recorded, bucket } = exchange
    const { overrides, key, holds } = (rule && rules.get(rule)) ?? none
    const overridden = overrides.some((name) => typeof recorded.headers.get(name) === 'string')
    // A bucket that was recorded is as good as the key.
    if (recorded.bucket !== undefined && bucket === recorded.bucket) for (const what of key) unknown.delete(what)
    if (!holds) exchange.end()
    return {
      route: rule?.route, rule: rule?.name, variant: variant?.name, settled: bucket !== undefined || overridden, unknown,
      code: typeof refused === 'object' ? refused.code : refused, why: typeof refused === 'object' ? refused.detail : '',
      end: holds ? () => exchange.end() : undefined,
    }
  }
}

/** What a rule reads of requests that is only known from its text. `key`: what its split goes by, as it is noted. */
type Reads = Readonly<{ headers: readonly string[]; parameters: readonly string[]; overrides: readonly string[]; key: readonly string[]; split: boolean; holds: boolean }>
const none: Reads = { headers: [], parameters: [], overrides: [], key: [], split: false, holds: false }

function readsOf({ rules }: Route, { authorization = [], limits = [], overrides, split }: Rule): Reads {
  const expressions = [
    ...rules.flatMap(({ matches }) => matches.map(({ when }) => when)), ...authorization.map(({ when }) => when), ...limits.map(({ appliesTo: { when } }) => when),
  ].join('\n')
  const named = (of: string) => [...expressions.matchAll(new RegExp(`request\\.${of}\\s*(?:\\.\\s*(\\w+)|\\[\\s*["']([^"']+)["']\\s*\\])`, 'g'))].map(([, dotted, quoted]) => (dotted ?? quoted ?? '').toLowerCase())
  return {
    headers: named('headers'), parameters: named('query'), overrides: [...new Set(overrides.map(({ header }) => header))],
    key: split === undefined ? [] : split.by === 'Principal' ? ['who calls'] : [`header ${split.by === 'Header' ? split.name : 'cookie'}`],
    split: split !== undefined,
    holds: limits.some(({ algorithm }) => algorithm.type === 'Concurrency'),
  }
}

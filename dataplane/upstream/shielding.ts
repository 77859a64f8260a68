import type { Rule, Variant } from '../../table/route.ts'
import type { Log } from '../store.ts'
import type { Checking } from './fitness.ts'
import type { Group } from './groups.ts'
import { Shield, type ShieldTerms } from './shield.ts'

/** Where a variant is, and who has it. */
export type Whose = Readonly<{ tenant: string; route: string; rule: Rule; variant: Variant; group: Group; host: string | undefined }>

/** What stands before a variant's endpoints: the one that stood there before, by the terms that hold now. */
export type Shielding = (whose: Whose, before: Shield | undefined) => Shield | undefined

export type ShieldingDeps = Readonly<{
  /** Undefined: the endpoints are asked nothing. */
  checks?: Checking
  log?: Log
  now?: () => number
}>

export function createShielding({ checks, log = () => {}, now = () => performance.now() }: ShieldingDeps = {}): Shielding {
  return function shieldOf(whose, before) {
    const terms = termsOf(whose)
    if (terms === undefined) {
      before?.close()
      return undefined
    }
    if (before !== undefined) {
      before.configure(terms)
      return before
    }
    const { route, rule, variant, group } = whose
    const at = { route, rule: rule.name, variant: variant.name }
    return new Shield(group, terms, {
      checks,
      now,
      onChange(change) {
        if ('circuit' in change) log(change.circuit === 'open' ? 'warn' : 'info', `the circuit of a variant is ${change.circuit}`, { ...at, why: change.why })
        else if ('back' in change) log('info', 'an endpoint is asked again', { ...at, endpoint: change.endpoint })
        else log('warn', 'an endpoint is not asked for a while', { ...at, endpoint: change.endpoint, why: change.why, for_ms: Math.round(change.out) })
      },
    })
  }
}

function termsOf({ tenant, rule, variant, host }: Whose): ShieldTerms | undefined {
  const { health, breaker, wakeUp } = rule
  if (health === undefined && breaker === undefined && wakeUp === undefined) return undefined
  const { served, credentials } = variant
  // A model that nobody could name is not asked for.
  const active = health?.active?.type === 'Model' && served === undefined ? undefined : health?.active
  return { health, breaker, wakeUp, check: active && { tenant, active, served: active.type === 'Model' ? served : undefined, host, credentials } }
}

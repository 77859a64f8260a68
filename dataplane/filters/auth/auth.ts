import type { Exchange } from '../../pipeline/exchange.ts'
import type { Principal, Verdict } from '../../pipeline/principal.ts'
import type { Filter, Outcome } from '../filter.ts'
import { stripOf } from './strip.ts'

export const auth: Filter = {
  name: 'auth',
  build({ route, rule }, { authenticators }) {
    if (rule.auth === undefined) return undefined
    const authenticate = authenticators(route.tenant, rule.auth)
    const strip = stripOf(rule.auth)
    return function identify(exchange) {
      const verdict = exchange.authenticated(authenticate)
      return verdict instanceof Promise ? verdict.then((settled) => introduce(exchange, settled, strip)) : introduce(exchange, verdict, strip)
    }
  },
}

/** Tells the backend who calls. What the caller said of it was stripped when the request was screened. */
function introduce(exchange: Exchange, verdict: Verdict, strip: (exchange: Exchange) => void): Outcome {
  if ('code' in verdict) {
    if (verdict.cause !== undefined) exchange.cause = verdict.cause
    return verdict
  }
  strip(exchange)
  exchange.principal = verdict
  exchange.explaining?.set('auth', describe(verdict))
  if (verdict.via !== 'anonymous') exchange.received.headers.push(...introductionOf(verdict))
  return undefined
}

function describe({ via, consumer, groups, tier, credential }: Principal): string {
  if (via === 'anonymous') return 'without a credential, which is let through'
  const notes = [...(tier === undefined ? [] : [`tier ${tier}`]), ...(groups.length > 0 ? [`groups ${groups.join(', ')}`] : []), ...(credential === undefined ? [] : [`by the key ${credential}`])]
  return `${via} of ${consumer}${notes.length > 0 ? `, ${notes.join(', ')}` : ''}`
}

/** A caller who is known is one object, request after request. */
const introductions = new WeakMap<Principal, readonly string[]>()

function introductionOf(principal: Principal): readonly string[] {
  let headers = introductions.get(principal)
  if (headers === undefined) {
    const { consumer, groups, tier } = principal
    headers = [
      'x-modelroute-consumer', inHeader(consumer),
      ...(groups.length > 0 ? ['x-modelroute-groups', groups.map(inHeader).join(',')] : []),
      ...(tier === undefined ? [] : ['x-modelroute-tier', inHeader(tier)]),
    ]
    introductions.set(principal, headers)
  }
  return headers
}

/** Whatever could end the value, or the list that it stands in, is percent-encoded. */
function inHeader(text: string): string {
  return /^[\x21-\x24\x26-\x2b\x2d-\x7e]*$/.test(text) ? text : encodeURIComponent(text.toWellFormed())
}

import type { Built } from '../pipeline/route.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { modelHolds, type Candidate } from '../pipeline/match.ts'
import { anonymous, principalHolds } from '../pipeline/principal.ts'

/** A rule that was looked at, and why it does not serve the request. */
export type Considered = Readonly<{ route: string; rule: string; why: string }>

/** As many as a person reads; the nearest come first. */
const shownMax = 50

/** Every rule but the one that was chosen, those that fit the most of the request first. */
export function consider(routes: Iterable<Built>, exchange: Exchange, chosen: Candidate | undefined): Considered[] {
  const found: (Considered & Readonly<{ distance: number }>)[] = []
  for (const { route, candidates } of routes) {
    for (const [at, { name }] of route.rules.entries()) {
      const own = candidates.filter(({ rule }) => rule === at)
      if (own.some((candidate) => candidate === chosen)) continue
      const reasons = own.map((candidate) => whyNot(candidate, route.hostnames, exchange))
      const nearest = reasons.toSorted((a, b) => a.distance - b.distance)[0]
      if (nearest) found.push({ route: route.id, rule: name, ...nearest })
    }
  }
  return found.toSorted((a, b) => a.distance - b.distance).slice(0, shownMax).map(({ route, rule, why }) => ({ route, rule, why }))
}

/** Says what the rule wants, never what the request has: keys and prompts travel there. */
function whyNot(candidate: Candidate, hostnames: readonly string[], exchange: Exchange): Readonly<{ distance: number; why: string }> {
  const { method, model, caller } = candidate
  if (!hostHolds(hostnames, exchange.host)) return { distance: 6, why: `the host is none of ${hostnames.join(', ')}` }
  if (!pathHolds(candidate, exchange.path)) return { distance: 5, why: `the path is not ${candidate.pathType} ${candidate.path || '…'}` }
  if (method !== undefined && method !== exchange.method) return { distance: 1, why: `the method is not ${method}` }
  if (model !== undefined) {
    const named = exchange.model()
    const { type, name } = model
    const nameHolds = modelHolds({ ...candidate, model: { ...(type && { type }), name } }, exchange)
    if (named === undefined || !nameHolds) return { distance: 4, why: `the model is not ${type === undefined ? '' : `${type} `}${name}` }
    if (model.version !== undefined && named.version !== model.version) return { distance: 3, why: `the model's version is not ${model.version}` }
  }
  for (const { name, holds, exact } of candidate.headers) {
    const value = exchange.header(name)
    if (value === undefined || !holds(value)) return { distance: 2, why: `the header ${name} ${wanted(exact)}` }
  }
  for (const { name, holds, exact } of candidate.query) {
    const value = exchange.parameter(name)
    if (value === undefined || !holds(value)) return { distance: 2, why: `the query parameter ${name} ${wanted(exact)}` }
  }
  for (const { pointer, holds } of candidate.body) {
    const value = exchange.value(pointer)
    if (value === undefined || (value !== 'unread' && !holds(value))) return { distance: 2, why: `the value at ${pointer} of the body is missing, or another` }
  }
  if (candidate.sources?.(exchange.clientAddress) === false) return { distance: 2, why: 'the address of the caller is in none of its networks' }
  if (candidate.countries?.has(exchange.country ?? '') === false) return { distance: 2, why: 'the country of the caller is none of its countries' }
  if (caller !== undefined) {
    const verdict = caller.authenticate && exchange.verdict(caller.authenticate)
    if (verdict === undefined || 'code' in verdict || !principalHolds(caller.match, verdict)) return { distance: 2, why: 'the caller is not one it is for' }
  }
  if (candidate.when !== undefined) {
    const verdict = caller?.authenticate && exchange.verdict(caller.authenticate)
    const principal = verdict === undefined || 'code' in verdict ? anonymous : verdict
    if (!candidate.when.holds({ request: exchange.facts(), principal })) return { distance: 1, why: 'its expression does not hold' }
  }
  return { distance: 0, why: 'it matches too, but the chosen one is more specific, or older' }
}

const wanted = (exact: string | undefined) => exact === undefined ? 'is missing, or another' : `is not ${JSON.stringify(exact)}`

function hostHolds(hostnames: readonly string[], host: string): boolean {
  return hostnames.length === 0 || hostnames.some((name) => name.startsWith('*.') ? host.endsWith(name.slice(1)) : name === host)
}

function pathHolds({ pathType, path, pathHolds: regex }: Candidate, asked: string): boolean {
  if (pathType === 'Exact') return path === asked
  if (pathType === 'Regex') return regex(asked)
  const base = path.replace(/\/+$/, '')
  return asked === base || asked.startsWith(`${base}/`)
}

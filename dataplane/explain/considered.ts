import type { Built } from '../pipeline/route.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { modelHolds, whyBefore, type Candidate } from '../pipeline/match.ts'
import { anonymous, principalHolds } from '../pipeline/principal.ts'

/** A rule that was looked at, and why it does not serve the request. */
export type Considered = Readonly<{ route: string; rule: string; why: string }>

/** As many as a person reads; the nearest come first. */
const shownMax = 50

/** A match of a rule, and the host names of its route. */
type Asking = Readonly<{ candidate: Candidate; hostnames: readonly string[] }>
/** `place`: of the condition that fails among all conditions: the later, the nearer the match was. */
type Reason = Readonly<{ place: number; why: string }>

/** Every rule but the one that was chosen, those that fit the most of the request first. */
export function consider(routes: Iterable<Built>, exchange: Exchange, chosen: Candidate | undefined): Considered[] {
  const all = [...routes]
  const winner = chosen && { candidate: chosen, hostnames: all.find(({ route }) => route.id === chosen.route)?.route.hostnames ?? [] }
  const found: (Considered & Reason)[] = []
  for (const { route: { id, hostnames, rules }, candidates } of all) {
    const nearest = new Map<number, Reason | 'chosen'>()
    for (const candidate of candidates) {
      const before = nearest.get(candidate.rule)
      if (before === 'chosen') continue
      const reason = candidate === chosen ? 'chosen' : whyNot({ candidate, hostnames }, exchange, winner)
      if (before === undefined || reason === 'chosen' || reason.place > before.place) nearest.set(candidate.rule, reason)
    }
    for (const [at, reason] of nearest) if (reason !== 'chosen') found.push({ route: id, rule: rules[at]?.name ?? '', ...reason })
  }
  return found.toSorted((a, b) => b.place - a.place).slice(0, shownMax).map(({ route, rule, why }) => ({ route, rule, why }))
}

/** What a match asks for, and of headers and the like only by name: what it wants of them may be a secret. */
export function describeMatch({ match, pathType, path, method, headers, query, model, body, sources, countries, caller, when }: Candidate): string {
  return [
    `match ${match + 1}`,
    `${pathType} ${path}`,
    ...(method === undefined ? [] : [`method ${method}`]),
    ...headers.map(({ name }) => `header ${name}`),
    ...query.map(({ name }) => `query ${name}`),
    ...(model === undefined ? [] : [`model ${model.name}${model.version === undefined ? '' : ` version ${model.version}`}`]),
    ...body.map(({ pointer }) => `body ${pointer}`),
    ...(caller === undefined ? [] : ['who calls']),
    ...(countries === undefined ? [] : ['country']),
    ...(sources === undefined ? [] : ['network']),
    ...(when === undefined ? [] : ['an expression']),
  ].join(', ')
}

/** Says what the rule wants, never what the request has: keys and prompts travel there. */
function whyNot(asking: Asking, exchange: Exchange, winner: Asking | undefined): Reason {
  const tests = conditionsOf(asking, exchange)
  let place = 0
  for (const test of tests) {
    const why = test()
    if (why !== undefined) return { place, why }
    place++
  }
  return { place, why: beaten(asking, exchange, winner) }
}

/** In the order of precedence; each says what fails. */
function conditionsOf({ candidate, hostnames }: Asking, exchange: Exchange): readonly (() => string | undefined)[] {
  const { method, model, caller } = candidate
  const verdict = caller?.authenticate && exchange.verdict(caller.authenticate)
  const known = verdict === undefined || 'code' in verdict ? undefined : verdict
  return [
    () => rankOfHost(hostnames, exchange.host) >= 0 ? undefined : `the host is none of ${hostnames.join(', ')}`,
    () => pathHolds(candidate, exchange.path) ? undefined : `the path is not ${candidate.pathType} ${candidate.path || '…'}`,
    () => method === undefined || method === exchange.method ? undefined : `the method is not ${method}`,
    () => missing(candidate.headers, 'header', (name) => exchange.header(name)),
    () => missing(candidate.query, 'query parameter', (name) => exchange.parameter(name)),
    () => {
      if (model === undefined) return undefined
      const { type, name } = model
      const nameHolds = modelHolds({ ...candidate, model: { ...(type && { type }), name } }, exchange)
      return exchange.model() !== undefined && nameHolds ? undefined : `the model is not ${type === undefined ? '' : `${type} `}${name}`
    },
    () => model?.version === undefined || exchange.model()?.version === model.version ? undefined : `the model's version is not ${model.version}`,
    () => {
      const missed = candidate.body.find(({ pointer, holds }) => {
        const value = exchange.value(pointer)
        return value === undefined || (value !== 'unread' && !holds(value))
      })
      return missed && `the value at ${missed.pointer} of the body is missing, or another`
    },
    () => caller === undefined || (known !== undefined && principalHolds(caller.match, known)) ? undefined : 'the caller is not one it is for',
    () => candidate.sources?.(exchange.clientAddress) === false ? 'the address of the caller is in none of its networks' : undefined,
    () => candidate.countries?.has(exchange.country ?? '') === false ? 'the country of the caller is none of its countries' : undefined,
    () => candidate.when?.holds({ request: exchange.facts(), principal: known ?? anonymous }) === false ? 'its expression does not hold' : undefined,
  ]
}

type Test = Candidate['headers'][number]

function missing(tests: readonly Test[], what: string, valueOf: (name: string) => string | undefined): string | undefined {
  const missed = tests.find(({ name, holds }) => {
    const value = valueOf(name)
    return value === undefined || !holds(value)
  })
  return missed && `the ${what} ${missed.name} ${missed.exact === undefined ? 'is missing, or another' : `is not ${JSON.stringify(missed.exact)}`}`
}

/** All of it matches, and another one has the request. */
function beaten({ candidate, hostnames }: Asking, { host }: Exchange, winner: Asking | undefined): string {
  if (winner === undefined) return 'it matches too, but the host is that of another tenant'
  const more = rankOfHost(winner.hostnames, host) - rankOfHost(hostnames, host)
  const first = winner.candidate
  const why = more > 0 ? 'is for a more specific host' : more < 0 ? 'has the host of its tenant' : whyPath(first, candidate) ?? whyBefore(first, candidate)
  return `it matches too, but the chosen one ${why ?? 'comes first'}`
}

function whyPath(first: Candidate, other: Candidate): string | undefined {
  if (first.pathType !== other.pathType) return `has the more specific path, ${first.pathType} before ${other.pathType}`
  return first.pathType === 'Prefix' && first.path !== other.path ? 'has the longer path' : undefined
}

/** How specifically the names of a route say a host: -1: not at all. */
function rankOfHost(hostnames: readonly string[], host: string): number {
  if (hostnames.length === 0) return 0
  return Math.max(...hostnames.map((name) => name === host ? Number.POSITIVE_INFINITY : name.startsWith('*.') && host.endsWith(name.slice(1)) ? name.length : -1))
}

function pathHolds({ pathType, path, pathHolds: regex }: Candidate, asked: string): boolean {
  if (pathType === 'Exact') return path === asked
  if (pathType === 'Regex') return regex(asked)
  const base = path.replace(/\/+$/, '')
  return asked === base || asked.startsWith(`${base}/`)
}

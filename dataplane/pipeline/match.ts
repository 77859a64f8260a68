import { compileCondition, type Condition, type RequestFacts } from '../../table/expression.ts'
import type { PrincipalMatch } from '../../table/principal.ts'
import type { Match, Route, StringMatch } from '../../table/route.ts'
import type { BodyValue, Named } from '../protocols/scan/scan.ts'
import { parseNetworks, type Networks } from './networks.ts'
import type { Pattern, Patterns } from './patterns.ts'
import { anonymous, principalHolds, type Authenticate, type Authenticators, type Verdict } from './principal.ts'
import { normalizePath } from './target.ts'

/** What matching may ask of a request. Everything but method, host and path is worked out only when it is asked for. */
export interface Matchable {
  readonly method: string
  /** Lower case, no port; empty when the request names none. */
  readonly host: string
  readonly path: string
  readonly clientAddress: string
  /** Where the caller is, upper case; undefined where that is not known. */
  readonly country: string | undefined
  header(name: string): string | undefined
  /** The first value of a query parameter. */
  parameter(name: string): string | undefined
  model(): Named | undefined
  /** It may name one in its body, where nobody has looked yet. */
  readonly modelUnread: boolean
  /** A value of its JSON body, by a JSON Pointer. */
  value(pointer: string): BodyValue | 'unread' | undefined
  /** What expressions see of it. */
  facts(): RequestFacts
  /** Who calls, by these terms; undefined while nobody has asked. */
  verdict(authenticate: Authenticate): Verdict | undefined
}

type Test = Readonly<{ name: string; exact: string | undefined; holds: Pattern }>
type BodyTest = Readonly<{ pointer: string; holds: (value: BodyValue) => boolean }>

/** One match of a rule, ready to run, and where it ranks. */
export type Candidate = Readonly<{
  route: string
  tenant: string
  created: string
  rule: number
  match: number
  pathType: 'Exact' | 'Prefix' | 'Regex'
  path: string
  pathHolds: Pattern
  method: string | undefined
  headers: readonly Test[]
  query: readonly Test[]
  model: Match['model']
  /** Undefined: it asks for no model, or for one by its exact name. */
  modelHolds: Pattern | undefined
  body: readonly BodyTest[]
  /** Something of it may stand in the body. */
  looks: boolean
  sources: Networks | undefined
  countries: ReadonlySet<string> | undefined
  when: Condition | undefined
  /** Preflights are answered for it. */
  cors: boolean
  /** Who must call, and how that is found out. */
  caller: Readonly<{ match: PrincipalMatch; authenticate: Authenticate | undefined }> | undefined
}>

/** The candidates of a route, in order of rule and match; or why one of them cannot run. */
export function compileMatches(route: Route, patterns: Patterns, authenticators: Authenticators): readonly Candidate[] | string {
  const candidates: Candidate[] = []
  for (const [rule, { name, matches, auth, cors }] of route.rules.entries()) {
    const authenticate = auth && authenticators(route.tenant, auth)
    for (const [match, source] of matches.entries()) {
      const compiled = compileMatch(source, patterns)
      if (typeof compiled === 'string') return `rule ${name}, match ${match}: ${compiled}`
      const asked = source.principal ?? (compiled.when?.readsPrincipal === true ? anybody : undefined)
      const caller = asked && { match: asked, authenticate }
      // Each field by its name: an object that is spread and added to takes twice the room.
      candidates.push({
        route: route.id, tenant: route.tenant, created: route.created, rule, match,
        pathType: compiled.pathType, path: compiled.path, pathHolds: compiled.pathHolds, method: compiled.method,
        headers: compiled.headers, query: compiled.query, model: compiled.model, modelHolds: compiled.modelHolds,
        body: compiled.body, looks: compiled.looks, sources: compiled.sources, countries: compiled.countries, when: compiled.when,
        cors: cors !== undefined, caller,
      })
    }
  }
  return candidates
}

/** A caller whom an expression asks about. */
const anybody: PrincipalMatch = { consumers: [], groups: [], tiers: [], claims: [] }

const never: Pattern = () => false
const always: Pattern = () => true

function compileMatch(match: Match, patterns: Patterns) {
  const { type, value } = match.path
  let path = value
  let pathHolds = never
  if (type === 'Regex') {
    const pattern = patterns.compile(value)
    if (typeof pattern === 'string') return pattern
    pathHolds = pattern
  } else {
    const normal = normalizePath(value)
    if (typeof normal !== 'string') return `path ${value}: ${normal.detail}`
    if (normal !== value) path = normal
  }
  const headers = compileTests(match.headers, patterns)
  if (typeof headers === 'string') return headers
  const query = compileTests(match.query, patterns)
  if (typeof query === 'string') return query
  const sources = match.sources && parseNetworks(match.sources)
  if (typeof sources === 'string') return sources
  const when = match.when === undefined ? undefined : compileCondition(match.when)
  if (when !== undefined && 'fault' in when) return `when ${when.fault}`
  const countries = match.countries && new Set(match.countries)
  const model = match.model?.type === undefined ? undefined : compileTest({ ...match.model, value: match.model.name, type: match.model.type }, patterns)
  if (typeof model === 'string') return `model ${match.model?.name}: ${model}`
  const body = compileBody(match.body ?? none, patterns)
  if (typeof body === 'string') return body
  const looks = match.model !== undefined || body.length > 0 || when?.readsModel === true
  return { pathType: type, path, pathHolds, method: match.method, headers, query, model: match.model, modelHolds: model, body, looks, sources, countries, when }
}

/** Of the matches that ask for nothing of the kind. */
const none: readonly never[] = []

function compileTests(sources: readonly StringMatch[], patterns: Patterns): readonly Test[] | string {
  if (sources.length === 0) return none
  const tests: Test[] = []
  for (const source of sources) {
    const holds = compileTest(source, patterns)
    if (typeof holds === 'string') return `${source.name}: ${holds}`
    tests.push({ name: source.name, exact: source.type === 'Exact' ? source.value : undefined, holds })
  }
  return tests
}

/** Of a value that is too long to be kept only the beginning can be compared. */
function compileBody(sources: NonNullable<Match['body']>, patterns: Patterns): readonly BodyTest[] | string {
  if (sources.length === 0) return none
  const tests: BodyTest[] = []
  for (const source of sources) {
    const holds = compileTest({ ...source, name: source.pointer }, patterns)
    if (typeof holds === 'string') return `${source.pointer}: ${holds}`
    const { type, pointer } = source
    tests.push({ pointer, holds: type === 'Present' ? () => true : (value) => value.kind !== 'container' && (!value.cut || type === 'Prefix') && holds(value.text) })
  }
  return tests
}

function compileTest(source: StringMatch, patterns: Patterns): Pattern | string {
  if (source.type === 'Present') return always
  const { value } = source
  if (source.type === 'Regex') return patterns.compile(value)
  return source.type === 'Exact' ? (text) => text === value : (text) => text.startsWith(value)
}

/**
 * Whether everything but path and method holds; the index has already looked at the path. While it is not known who
 * calls, or what the body says, that is taken to hold: whoever chooses such a candidate finds out, and looks again.
 */
export function restHolds(candidate: Candidate, request: Matchable): boolean {
  const { headers, query, body, sources, countries, caller, when } = candidate
  if (!modelHolds(candidate, request)) return false
  for (const test of headers) {
    const value = request.header(test.name)
    if (value === undefined || !test.holds(value)) return false
  }
  for (const test of query) {
    const value = request.parameter(test.name)
    if (value === undefined || !test.holds(value)) return false
  }
  for (const test of body) {
    const value = request.value(test.pointer)
    if (value === undefined || (value !== 'unread' && !test.holds(value))) return false
  }
  if (sources !== undefined && !sources(request.clientAddress)) return false
  if (countries !== undefined && !countries.has(request.country ?? '')) return false
  if (caller !== undefined && !callerHolds(caller, request)) return false
  return when === undefined || whenHolds(when, caller, request)
}

function whenHolds(when: Condition, caller: Candidate['caller'], request: Matchable): boolean {
  const verdict = caller?.authenticate && request.verdict(caller.authenticate)
  if ((when.readsPrincipal && verdict === undefined) || (when.readsModel && request.modelUnread)) return true
  return when.holds({ request: request.facts(), principal: verdict === undefined || 'code' in verdict ? anonymous : verdict })
}

export function modelHolds({ model, modelHolds: holds }: Candidate, request: Matchable): boolean {
  if (model === undefined || request.modelUnread) return true
  const named = request.model()
  if (named === undefined) return false
  return (holds === undefined ? named.name === model.name : holds(named.name)) && (model.version === undefined || named.version === model.version)
}

/** Whether it is not known yet that all of it holds, because of what the body says. */
export function isUnread({ model, body, when }: Candidate, request: Matchable): boolean {
  return ((model !== undefined || when?.readsModel === true) && request.modelUnread) || body.some(({ pointer }) => request.value(pointer) === 'unread')
}

function callerHolds({ match, authenticate }: NonNullable<Candidate['caller']>, request: Matchable): boolean {
  if (authenticate === undefined) return false
  const verdict = request.verdict(authenticate)
  return verdict === undefined || (!('code' in verdict) && principalHolds(match, verdict))
}

/** What tells two candidates for the same host and path apart, and which comes first: below 0, the first. */
type Criterion = readonly [what: string, compare: (a: Candidate, b: Candidate) => number]

/** The more of it a candidate asks for, the earlier it comes. */
const most = (what: string, of: (candidate: Candidate) => number): Criterion => [what, (a, b) => of(b) - of(a)]

/** In the order in which they decide (Gateway API, HTTPRouteRule.matches). Each says of the first what it has. */
const precedence: readonly Criterion[] = [
  most('asks for a method', ({ method }) => Number(method !== undefined)),
  most('asks for more headers', ({ headers }) => headers.length),
  most('asks for more query parameters', ({ query }) => query.length),
  most('asks for a model', ({ model }) => Number(model !== undefined)),
  most('asks for a version of the model', ({ model }) => Number(model?.version !== undefined)),
  most('names the model more closely', modelRank),
  most('asks for more values of the body', ({ body }) => body.length),
  most('asks who calls', ({ caller }) => Number(caller !== undefined)),
  most('asks where the call comes from', ({ sources, countries }) => Number(sources !== undefined || countries !== undefined)),
  most('has an expression', ({ when }) => Number(when !== undefined)),
  ['is of an older route', (a, b) => compareText(a.created, b.created)],
  ['is of a route that comes first by name', (a, b) => compareText(a.route, b.route)],
  ['is of a rule that comes first in the route', (a, b) => a.rule - b.rule],
  ['comes first in its rule', (a, b) => a.match - b.match],
]

/** Which of two candidates for the same host and path comes first. */
export function comparePrecedence(a: Candidate, b: Candidate): number {
  for (const [, compare] of precedence) {
    const order = compare(a, b)
    if (order !== 0) return order
  }
  return 0
}

/** Why one candidate for the same host and path comes before another: what it has that the other has not. */
export const whyBefore = (first: Candidate, other: Candidate): string | undefined => precedence.find(([, compare]) => compare(first, other) < 0)?.[0]

/** An exact name before a regular expression, that before a prefix, the longest first: as paths are. */
function modelRank({ model }: Candidate): number {
  if (model === undefined) return 0
  return model.type === undefined ? 100_001 : model.type === 'Regex' ? 100_000 : model.name.length
}

function compareText(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

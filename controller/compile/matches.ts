import { isIP } from 'node:net'
import type { Match, PathMatch, StringMatch } from '../../table/route.ts'
import type { Problem } from '../sources/snapshot.ts'
import { compileCondition } from '../../table/expression.ts'
import { compilePrincipal } from './authorization.ts'
import { normalisePath, withoutTrailingSlash } from './paths.ts'
import { sorted } from './names.ts'
import { invalid, quote, warning } from './problems.ts'
import type { CheckRegex } from './regexes.ts'
import type { MatchSpec } from './spec.ts'

/** A match, where in the spec it stands, and its text: equal matches, equal keys. */
export type PlacedMatch = Readonly<{ match: Match; place: string; key: string }>

const everything: Match = { path: { type: 'Prefix', value: '/' }, headers: [], query: [] }

/**
 * Every match in its one canonical spelling, so that equal ones are equal as JSON. `problems` with severity error make
 * the rule invalid.
 */
export function compileMatches(
  specs: readonly MatchSpec[] | undefined,
  place: string,
  checkRegex: CheckRegex,
  problems: Problem[],
): readonly PlacedMatch[] {
  if (!specs || specs.length === 0) return [{ match: everything, place, key: JSON.stringify(everything) }]
  const placed = new Map<string, PlacedMatch>()
  specs.forEach((spec, at) => {
    const here = `${place}.matches[${at}]`
    const match = compileMatch(spec, here, checkRegex, problems)
    const key = JSON.stringify(match)
    if (!placed.has(key)) placed.set(key, { match, place: here, key })
  })
  return [...placed.values()]
}

function compileMatch(spec: MatchSpec, place: string, checkRegex: CheckRegex, problems: Problem[]): Match {
  const path = compilePath(spec.path, `${place}.path`, checkRegex, problems)
  return {
    path,
    ...(spec.method === undefined ? {} : { method: spec.method }),
    headers: compileStrings(spec.headers, `${place}.headers`, true, checkRegex, problems),
    query: compileStrings(spec.queryParams, `${place}.queryParams`, false, checkRegex, problems),
    ...(spec.model === undefined ? {} : { model: compileModel(spec.model, `${place}.model`, checkRegex, problems) }),
    ...(spec.body?.length ? { body: compileBody(spec.body, `${place}.body`, checkRegex, problems) } : {}),
    ...(spec.principal && { principal: compilePrincipal(spec.principal) }),
    ...(spec.countries?.length ? { countries: sorted(spec.countries) } : {}),
    ...(spec.when !== undefined && { when: compileWhen(spec.when, `${place}.when`, problems) }),
    ...(spec.sourceCIDRs?.length ? { sources: compileSources(spec.sourceCIDRs, `${place}.sourceCIDRs`, problems) } : {}),
  }
}

function compileWhen(when: string, place: string, problems: Problem[]): string {
  const condition = compileCondition(when)
  if ('fault' in condition) problems.push(invalid(place, condition.fault))
  return when
}

function compileSources(networks: readonly string[], place: string, problems: Problem[]): readonly string[] {
  networks.forEach((network, at) => {
    const [address = '', length = ''] = network.split('/')
    const family = isIP(address)
    if (family === 0 || !/^[0-9]{1,3}$/.test(length) || Number(length) > (family === 6 ? 128 : 32)) {
      problems.push(invalid(`${place}[${at}]`, `${quote(network)} is no network such as 10.0.0.0/8 or 2001:db8::/32`))
    }
  })
  return [...new Set(networks.map((network) => network.toLowerCase()))].sort()
}

function compileModel(
  { type, name, version }: NonNullable<MatchSpec['model']>,
  place: string,
  checkRegex: CheckRegex,
  problems: Problem[],
): NonNullable<Match['model']> {
  const fault = type === 'RegularExpression' ? checkRegex(name) : undefined
  if (fault !== undefined) problems.push(invalid(`${place}.name`, fault))
  const kind = type === 'RegularExpression' ? 'Regex' : type
  return { ...(kind === undefined || kind === 'Exact' ? {} : { type: kind }), name, ...(version === undefined ? {} : { version }) }
}

function compileBody(
  specs: NonNullable<MatchSpec['body']>,
  place: string,
  checkRegex: CheckRegex,
  problems: Problem[],
): NonNullable<Match['body']> {
  const named = specs.map(({ pointer, ...rest }) => ({ ...rest, name: pointer }))
  return compileStrings(named, place, false, checkRegex, problems).map(({ name: pointer, ...rest }) => ({ ...rest, pointer }))
}

function compilePath(spec: MatchSpec['path'], place: string, checkRegex: CheckRegex, problems: Problem[]): PathMatch {
  if (!spec) return everything.path
  if (spec.type === 'RegularExpression') {
    const fault = checkRegex(spec.value)
    if (fault !== undefined) problems.push(invalid(`${place}.value`, fault))
    return { type: 'Regex', value: spec.value }
  }
  const normal = normalisePath(spec.value)
  if ('fault' in normal) {
    problems.push(invalid(`${place}.value`, `${quote(spec.value)}: ${normal.fault}`))
    return everything.path
  }
  if (spec.type === 'Exact') return { type: 'Exact', value: normal.path }
  return { type: 'Prefix', value: withoutTrailingSlash(normal.path) }
}

/**
 * Of equivalent names only the first counts, as Gateway API says. Sorted by name: which was written first means
 * nothing otherwise, and equal matches of two routes have to look equal.
 */
function compileStrings(
  specs: MatchSpec['headers'],
  place: string,
  header: boolean,
  checkRegex: CheckRegex,
  problems: Problem[],
): readonly StringMatch[] {
  if (!specs?.length) return []
  const byName = new Map<string, StringMatch>()
  specs.forEach((spec, at) => {
    const name = header ? spec.name.toLowerCase() : spec.name
    const compiled = compileString(spec, name, `${place}[${at}]`, header, checkRegex, problems)
    if (!byName.has(name)) byName.set(name, compiled)
    else
      problems.push(warning(`${place}[${at}]`, 'Invalid', `${quote(name)} stands above already; only the first counts`))
  })
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function compileString(
  spec: NonNullable<MatchSpec['headers']>[number],
  name: string,
  place: string,
  header: boolean,
  checkRegex: CheckRegex,
  problems: Problem[],
): StringMatch {
  if (spec.type === 'Present') return { type: 'Present', name }
  const value = spec.value ?? ''
  if (spec.value === undefined) problems.push(invalid(`${place}.value`, 'is required unless type is Present'))
  if (spec.type === 'RegularExpression') {
    const fault = checkRegex(value)
    if (fault !== undefined) problems.push(invalid(`${place}.value`, fault))
    return { type: 'Regex', name, value }
  }
  // RFC 9110 section 5.5: no request can carry such a value, so the match would never hold.
  // oxlint-disable-next-line no-control-regex
  if (header && /[^\t\u0020-\u007e\u0080-\u00ff]/.test(value)) {
    problems.push(invalid(`${place}.value`, 'holds characters that no header value can have'))
  }
  return { type: spec.type ?? 'Exact', name, value }
}

import type { Decision } from './decide.ts'
import type { Recorded } from './recorded.ts'

/** One request of a group of differences, and where it stands in the record. */
export type Example = Readonly<{ line: number; time: string; requestId: string; method: string; path: string; consumer?: string }>

/** What is decided in one way by the one, and in another by the other. `uncertain`: of these, so many for want of what is not recorded. */
export type Difference = Readonly<{ kind: Kind; from: string; to: string; requests: number; uncertain: number; why: string; examples: readonly Example[] }>

/** How many requests a variant of a rule gets, or are answered with a code. */
export type Share = Readonly<{ route: string; rule: string; variant: string; from: number; to: number }>

export type Comparison = Readonly<{
  requests: number
  from: string | undefined
  until: string | undefined
  /** What the table does not decide, and so is not compared. */
  undecided: number
  different: number
  uncertain: number
  shares: readonly Share[]
  differences: readonly Difference[]
  /** What the record would have to have, and for how many requests. */
  unknown: readonly Readonly<{ what: string; requests: number }>[]
}>

/**
 * `route`: another route or rule, or none. `access`: who may. `limit`: how much. `variant`: of what sticks. `backend`: whether
 * there is one.
 */
export type Kind = 'route' | 'access' | 'limit' | 'variant' | 'backend'

const kindOf: Readonly<Record<string, Kind>> = {
  unauthenticated: 'access', token_expired: 'access', forbidden: 'access', rate_limited: 'limit', quota_exhausted: 'limit', queue_timeout: 'limit', no_endpoints: 'backend', backend_unresolved: 'backend',
}
const unrouted = new Set<string | undefined>(['no_route', 'method_not_allowed'])
/** What a record says of limits that are not counted anew, or that says something else of a limit by now. */
const sameCode: Readonly<Record<string, string>> = { queue_timeout: 'rate_limited', token_expired: 'unauthenticated' }

/** Of those that are told apart, and of examples of each. */
const groupsMax = 1000
const sharesMax = 10_000
const unknownMax = 1000
const examplesMax = 3
const textMax = 200

/** What was decided, by the record or by another table. */
type Decided = Pick<Decision, 'route' | 'rule' | 'code' | 'variant' | 'settled'> | Readonly<{ route: string | undefined; rule: string | undefined; code: string | undefined; variant: string | undefined; settled: boolean }>

/** What the record itself says was decided; undefined: nothing that a table decides. */
export function decidedThen({ route, rule, code, variant, fellBack, bucket, method }: Recorded): Decided | undefined {
  if (route === undefined && !unrouted.has(code) && !(code !== undefined && code in kindOf)) return undefined
  // A preflight is answered for a rule, whatever that asks for.
  if (method === 'OPTIONS' && code === undefined && variant === undefined) return undefined
  const decided = code !== undefined && (unrouted.has(code) || (code in kindOf && kindOf[code] !== 'backend')) ? code : undefined
  return { route, rule, code: decided, variant: fellBack ? undefined : variant, settled: bucket !== undefined }
}

type Group = { requests: number; uncertain: number; why: string; examples: Example[] }

/** Compares decisions one by one, and keeps so much of them as is told at the end. */
export function createComparison(): Readonly<{
  add(recorded: Recorded, line: number, from: Decided | undefined, to: Decision): void
  told(): Comparison
}> {
  const groups = new Map<string, Group & Readonly<{ kind: Kind; from: string; to: string }>>()
  const shares = new Map<string, { route: string; rule: string; variant: string; from: number; to: number }>()
  const unknown = new Map<string, number>()
  let [requests, undecided, different, uncertain] = [0, 0, 0, 0]
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]

  function share({ route, rule, code, variant }: Decided, side: 'from' | 'to'): void {
    const place = route === undefined ? [code ?? '', '', ''] : [route, rule ?? '', code ?? variant ?? '']
    const [name = '', ofRule = '', what = ''] = place.map((text) => text.slice(0, textMax))
    const key = shares.size < sharesMax ? place.join('\n') : ''
    const found = shares.get(key) ?? { route: key === '' ? 'others' : name, rule: ofRule, variant: what, from: 0, to: 0 }
    shares.set(key, found)
    found[side]++
  }

  return {
    add(recorded, line, from, to) {
      requests++
      if (from === undefined) {
        undecided++
        return
      }
      first = Math.min(first, recorded.at)
      last = Math.max(last, recorded.until)
      share(from, 'from')
      share(to, 'to')
      for (const what of to.unknown) if (unknown.has(what) || unknown.size < unknownMax) unknown.set(what, (unknown.get(what) ?? 0) + 1)
      const found = differenceOf(from, to)
      if (found === undefined) return
      different++
      if (to.unknown.size > 0) uncertain++
      const key = `${found.kind}\n${found.from}\n${found.to}`
      const group = groups.get(key) ?? { ...found, requests: 0, uncertain: 0, why: to.why.slice(0, textMax), examples: [] }
      if (!groups.has(key) && groups.size >= groupsMax) return
      groups.set(key, group)
      group.requests++
      if (to.unknown.size > 0) group.uncertain++
      if (group.examples.length < examplesMax) group.examples.push(exampleOf(recorded, line))
    },
    told: () => ({
      requests, undecided, different, uncertain,
      from: Number.isFinite(first) ? new Date(first).toISOString() : undefined,
      until: Number.isFinite(last) ? new Date(last).toISOString() : undefined,
      shares: [...shares.values()].toSorted((a, b) => compareText(`${a.route}\n${a.rule}\n${a.variant}`, `${b.route}\n${b.rule}\n${b.variant}`)),
      differences: [...groups.values()].toSorted((a, b) => b.requests - a.requests),
      unknown: [...unknown].map(([what, of]) => ({ what, requests: of })).toSorted((a, b) => b.requests - a.requests),
    }),
  }
}

const compareText = (a: string, b: string) => (a < b ? -1 : Number(a > b))

/** The first of: the route, the code, the variant. */
function differenceOf(from: Decided, to: Decision): Readonly<{ kind: Kind; from: string; to: string }> | undefined {
  const [then, now] = [placeOf(from), placeOf(to)]
  if (then !== now) return { kind: 'route', from: then, to: now }
  const [was, is] = [from, to].map(({ code }) => code === undefined ? undefined : sameCode[code] ?? code)
  if (was !== is) {
    const kind = kindOf[is ?? ''] ?? kindOf[was ?? '']
    return kind && { kind, from: `${then}: ${was ?? 'served'}`, to: is ?? 'served' }
  }
  if (is === undefined && from.settled && to.settled && from.variant !== undefined && to.variant !== undefined && from.variant !== to.variant) {
    return { kind: 'variant', from: `${then}: ${from.variant}`, to: to.variant }
  }
  return undefined
}

/** Callers may name routes in what they record as they like. */
const placeOf = ({ route, rule, code }: Decided) => route === undefined ? code ?? 'none' : `${route} ${rule ?? ''}`.slice(0, textMax)

function exampleOf({ id, at, method, path, caller }: Recorded, line: number): Example {
  return {
    line, time: new Date(at).toISOString(), requestId: id.slice(0, textMax), method: method.slice(0, 32), path: path.slice(0, textMax),
    ...(typeof caller === 'object' && caller.consumer !== '' && { consumer: caller.consumer.slice(0, textMax) }),
  }
}

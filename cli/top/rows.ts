import type { ConsoleState, Flow, RuleFlow } from '../../table/console.ts'

/** One line of the table: a version of a variant of a rule, or of requests that went to none. */
export type Row = Readonly<{
  route: string
  rule: string
  variant: string
  version: string
  requests: number | null
  /** Of the requests, 0 to 1; null where there were none. */
  errors: number | null
  p50: number | null
  p95: number | null
  p99: number | null
  inFlight: number
  tokens: number | null
  cost: number | null
  share: number | null
  weight: number | null
  /** Its circuit is not closed. */
  open: boolean
}>

export type Limited = Readonly<{ policy: string; limit: string; perSecond: number | null; rejected: number }>
export type Circuit = Readonly<{ route: string; rule: string; variant: string; version: string; circuit: string; out: number }>

/** What is to be shown of one moment. */
export type Shot = Readonly<{
  at: number
  server: ConsoleState['server']
  window: number | null
  total: Omit<Row, 'route' | 'rule' | 'variant' | 'version' | 'share' | 'weight' | 'open'>
  rows: readonly Row[]
  /** Rules that there are beside those of the rows. */
  more: number
  limits: readonly Limited[]
  circuits: readonly Circuit[]
  /** Of a fleet: proxies, and those that have not what they should have. */
  proxies?: Readonly<{ connected: number; behind: number; refusing: number }>
}>

const refusing = new Set(['rejected', 'queue_full', 'queue_timeout', 'unavailable'])

/** @param only rules that are wanted, by their route */
export function shotOf(traffic: ConsoleState, limits: ConsoleState, endpoints: ConsoleState, only: (route: string) => boolean): Shot {
  const circuits = (endpoints.endpoints?.list.items ?? []).flatMap(({ route, rule, variant, modelVersion, circuit, endpoints: all }): Circuit[] =>
    circuit === null || circuit === 'closed' || !only(route) ? []
      : [{ route, rule, variant, version: modelVersion, circuit, out: all.filter(({ state }) => state !== 'healthy' && state !== 'unknown').length }])
  const open = new Set(circuits.map((one) => keyOf(one)))
  const items = traffic.traffic?.items ?? []
  const rules = items.filter(({ route }) => only(route))
  const { proxies } = traffic
  return {
    at: traffic.at, server: traffic.server, window: traffic.window,
    total: figuresOf(traffic.total),
    rows: rules.flatMap((rule) => rowsOf(rule, open)),
    more: Math.max(0, (traffic.traffic?.total ?? 0) - items.length),
    limits: (limits.limits?.list.items ?? []).flatMap(({ policy, limit, decisions }): Limited[] => {
      const hit = decisions.filter(({ decision }) => refusing.has(decision))
      const rejected = hit.reduce((sum, { count }) => sum + count, 0)
      if (rejected === 0 || !only(policy)) return []
      return [{ policy, limit, rejected, perSecond: hit.reduce<number | null>((sum, { perSecond }) => perSecond === null ? sum : (sum ?? 0) + perSecond, null) }]
    }).sort((a, b) => (b.perSecond ?? 0) - (a.perSecond ?? 0) || b.rejected - a.rejected),
    circuits,
    ...(proxies && {
      proxies: {
        connected: proxies.length,
        behind: proxies.filter(({ current }) => !current).length,
        refusing: proxies.filter(({ refused }) => refused > 0).length,
      },
    }),
  }
}

const keyOf = ({ route, rule, variant, version }: Readonly<{ route: string; rule: string; variant: string; version: string }>) =>
  [route, rule, variant, version].join('\n')

function rowsOf({ route, rule, flow, variants }: RuleFlow, open: ReadonlySet<string>): Row[] {
  const row = (of: Readonly<{ variant: string; version: string; flow: Flow; share: number | null; weight: number | null }>): Row =>
    ({ route, rule, variant: of.variant, version: of.version, ...figuresOf(of.flow), share: of.share, weight: of.weight, open: open.has(keyOf({ route, rule, ...of })) })
  if (variants.length === 0) return [row({ variant: '', version: '', flow, share: null, weight: null })]
  return variants.map(({ variant, modelVersion, flow: own, share, weight }) => row({ variant, version: modelVersion, flow: own, share, weight }))
}

function figuresOf({ perSecond, inFlight, p50, p95, p99 }: Flow): Shot['total'] {
  const requests = perSecond?.requests ?? null
  const errors = perSecond === null || perSecond.requests === 0 ? null : Math.min(1, (perSecond.failed + perSecond.refused) / perSecond.requests)
  return { requests, errors, p50, p95, p99, inFlight, tokens: perSecond?.tokens ?? null, cost: perSecond?.cost ?? null }
}

import type { CacheLine, Flow, LimitLine, Look, RolloutLine, RouteLine, RuleFlow, UpstreamLine } from '../table/console.ts'

type Order = Readonly<{ score: number; name: string }>

/** By which each list is ordered: the greatest score first, then the name. */
export function orders(sort: Look['sort']) {
  const by = (score: number, ...name: readonly string[]): Order => ({ score: sort === 'name' ? 0 : score, name: name.join(' ') })
  const rate = (all: readonly Readonly<{ count: number; perSecond: number | null }>[]) =>
    all.reduce((sum, { count, perSecond }) => sum + now(perSecond ?? 0, count), 0)
  return {
    traffic: ({ flow, route, rule }: RuleFlow) => by(flowScore(flow, sort), route, rule),
    rollouts: ({ route, rule }: RolloutLine) => by(0, route, rule),
    limits: ({ decisions, policy, limit }: LimitLine) =>
      by(rate(sort === 'errors' ? decisions.filter(({ decision }) => decision !== 'allowed') : decisions), policy, limit),
    endpoints: (line: UpstreamLine) =>
      by(sort === 'requests' ? busyness(line) : trouble(line), line.route, line.rule, line.variant, line.modelVersion, line.process),
    caches: ({ results, route, rule }: CacheLine) =>
      by(rate(sort === 'errors' ? results.filter(({ result }) => result === 'miss') : results), route, rule),
    routes: ({ route }: RouteLine) => by(0, route),
  }
}

/** What happens now weighs more than all that ever was. */
const now = (perSecond: number, count: number) => perSecond * 1e6 + Math.min(count / 1e3, 1e5)

export function flowScore({ requests, failed, refused, perSecond, p95 }: Pick<Flow, 'requests' | 'failed' | 'refused' | 'perSecond' | 'p95'>, sort: Look['sort']): number {
  if (sort === 'latency') return p95 ?? 0
  if (sort === 'errors') return now((perSecond?.failed ?? 0) + (perSecond?.refused ?? 0) / 1e3, failed + refused / 1e3)
  return now(perSecond?.requests ?? 0, requests)
}

const busyness = ({ endpoints, waiting, held }: UpstreamLine) =>
  endpoints.reduce((sum, { inFlight }) => sum + inFlight, 0) + (waiting ?? 0) + held

/** Open circuits before endpoints that are out, and those before what merely waits. */
function trouble({ circuit, endpoints, omitted, waiting, held }: UpstreamLine): number {
  const none = endpoints.length + omitted === 0 ? 1 : 0
  const out = endpoints.filter(({ state }) => state !== 'healthy' && state !== 'unknown').length
  return (circuit === 'open' ? 1e6 : circuit === 'half-open' ? 1e5 : 0) + none * 1e4 + out * 10 + ((waiting ?? 0) + held > 0 ? 1 : 0)
}

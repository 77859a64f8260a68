import type { ConsoleState, Flow, Look, RuleFlow } from '../../table/console.ts'

/** What a proxy tells who looks at its fleet. */
export type ShowFleet = (look: Look) => Promise<ConsoleState>

/** Of one variant; a fleet has thousands of endpoints, and who asks for them asks one proxy. */
const endpointsMax = 20

/** A fleet is hundreds of proxies, and a controller reads what all of them tell. */
export function forFleet(state: ConsoleState, node: string): ConsoleState {
  const { endpoints, traffic } = state
  if (traffic !== undefined) return { ...state, traffic: { ...traffic, items: traffic.items.map(shortRule) } }
  if (endpoints === undefined) return state
  const items = endpoints.list.items.map((line) => ({
    ...line,
    process: `${node} ${line.process}`,
    endpoints: line.endpoints.slice(0, endpointsMax),
    omitted: line.omitted + Math.max(0, line.endpoints.length - endpointsMax),
  }))
  return { ...state, endpoints: { ...endpoints, list: { ...endpoints.list, items } } }
}

const shortRule = (rule: RuleFlow): RuleFlow => ({ ...rule, flow: short(rule.flow), variants: rule.variants.map((one) => ({ ...one, flow: short(one.flow) })) })

/** No more digits than anybody sees: most of what travels is these. Quantiles are found anew in the sum. */
function short(flow: Flow): Flow {
  const { perSecond, latency } = flow
  return {
    ...flow,
    perSecond: perSecond && {
      requests: digits(perSecond.requests), failed: digits(perSecond.failed), refused: digits(perSecond.refused), tokens: digits(perSecond.tokens), cost: digits(perSecond.cost),
    },
    latency: latency.map((count) => digits(count)),
    p50: null, p95: null, p99: null,
  }
}

const digits = (value: number) => Number(value.toPrecision(4))

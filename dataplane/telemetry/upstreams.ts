import { labelText, type Combine, type Family, type Sample } from '../../exposition/family.ts'
import type { Sliced } from '../sliced.ts'
import type { EndpointState } from '../upstream/fitness.ts'
import type { UpstreamReport } from '../upstream/report.ts'
import { backendLabels } from './timings.ts'

const circuits = { closed: 0, 'half-open': 1, open: 2 } as const
const endpointStates: readonly EndpointState[] = ['healthy', 'unknown', 'unhealthy', 'ejected', 'half_open']

/** Of one variant, what is told of it. */
export type Standing = Readonly<{
  text: string
  circuit: number | undefined
  endpoints: ReadonlyMap<EndpointState, number>
  waiting: number | undefined
  held: number
}>

/** Looks at all of them once for one scrape. */
export function* standings(reports: Iterable<UpstreamReport>): Sliced<readonly Standing[]> {
  const all: Standing[] = []
  for (const { route, rule, variant, modelVersion, circuit, endpoints, omitted, waiting, held } of reports) {
    const counts = new Map(endpointStates.map((state) => [state, 0]))
    for (const { state } of endpoints) counts.set(state, (counts.get(state) ?? 0) + 1)
    if (omitted > 0) counts.set('healthy', (counts.get('healthy') ?? 0) + omitted)
    all.push({
      text: labelText(backendLabels, [route, rule, variant, modelVersion]),
      circuit: circuit && circuits[circuit], endpoints: counts, waiting, held,
    })
    yield
  }
  return all
}

/** How the variants whose rules ask for that stand with their endpoints. */
export function upstreamFamilies(all: readonly Standing[]): Family[] {
  const gauge = (name: string, help: string, more: readonly string[], combine: Combine, rows: (one: Standing) => Iterable<Sample>): Family => ({
    name, help, type: 'gauge', labels: [...backendLabels, ...more], combine,
    * rows() {
      for (const one of all) yield* rows(one)
    },
  })
  return [
    gauge('modelroute_circuit_state', 'Circuit of a variant that has a circuit breaker: 0 closed, 1 half-open (one request at a time tries), 2 open.', [], 'max',
      function* ({ text, circuit }) {
        if (circuit !== undefined) yield { labels: text, value: circuit }
      }),
    gauge('modelroute_endpoint_state', 'Endpoints of a variant by state: healthy, unknown (not asked yet), unhealthy (by its own answers), ejected (by failing requests), half_open.', ['state'], 'average',
      function* ({ text, endpoints }) {
        for (const [state, value] of endpoints) yield { labels: `${text},state="${state}"`, value }
      }),
    gauge('modelroute_waiting_requests', 'Requests that wait. for: place (one of maxRequests is to come free) or endpoint (the backend is to have one, wakeUp).', ['for'], 'sum',
      function* ({ text, waiting, held }) {
        if (waiting !== undefined) yield { labels: `${text},for="place"`, value: waiting }
        yield { labels: `${text},for="endpoint"`, value: held }
      }),
  ]
}

import { Gauge, type Registry } from 'prom-client'
import type { EndpointState } from '../upstream/fitness.ts'
import type { UpstreamReport } from '../upstream/report.ts'

const labels = ['route', 'rule', 'variant', 'model_version'] as const
const circuits = { closed: 0, 'half-open': 1, open: 2 } as const
const endpointStates: readonly EndpointState[] = ['healthy', 'unknown', 'unhealthy', 'ejected', 'half_open']

/** How the variants whose rules ask for that stand with their endpoints, read when somebody asks. */
export function registerUpstreams(registry: Registry, reports: () => Iterable<UpstreamReport>): void {
  const registers = [registry]
  const circuit = new Gauge({
    name: 'modelroute_circuit_state',
    help: 'Circuit of a variant that has a circuit breaker: 0 closed, 1 half-open (one request at a time tries), 2 open.',
    labelNames: labels,
    aggregator: 'max',
    registers,
    collect() {
      circuit.reset()
      for (const report of reports()) if (report.circuit !== undefined) circuit.set(labelsOf(report), circuits[report.circuit])
    },
  })
  const endpoints = new Gauge({
    name: 'modelroute_endpoint_state',
    help: 'Endpoints of a variant by state: healthy, unknown (not asked yet), unhealthy (by its own answers), ejected (by failing requests), half_open.',
    labelNames: [...labels, 'state'],
    aggregator: 'average',
    registers,
    collect() {
      endpoints.reset()
      for (const report of reports()) {
        const counts = new Map(endpointStates.map((state) => [state, 0]))
        for (const { state } of report.endpoints) counts.set(state, (counts.get(state) ?? 0) + 1)
        if (report.omitted > 0) counts.set('healthy', (counts.get('healthy') ?? 0) + report.omitted)
        for (const [state, count] of counts) endpoints.set({ ...labelsOf(report), state }, count)
      }
    },
  })
  const waiting = new Gauge({
    name: 'modelroute_waiting_requests',
    help: 'Requests that wait. for: place (one of maxRequests is to come free) or endpoint (the backend is to have one, wakeUp).',
    labelNames: [...labels, 'for'],
    registers,
    collect() {
      waiting.reset()
      for (const report of reports()) {
        if (report.waiting !== undefined) waiting.set({ ...labelsOf(report), for: 'place' }, report.waiting)
        waiting.set({ ...labelsOf(report), for: 'endpoint' }, report.held)
      }
    },
  })
}

function labelsOf({ route, rule, variant, modelVersion }: UpstreamReport): Record<(typeof labels)[number], string> {
  return { route, rule, variant, model_version: modelVersion }
}

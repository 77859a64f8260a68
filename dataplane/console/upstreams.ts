import type { ConsoleState, Look, UpstreamLine } from '../../table/console.ts'
import { Best, finder } from '../../console/best.ts'
import { orders } from '../../console/order.ts'
import type { Built } from '../pipeline/route.ts'
import type { Sliced } from '../sliced.ts'
import { reportUpstreams } from '../upstream/report.ts'

/** Endpoints that are listed of one variant: those that are not well, and the busiest. */
const listedMax = 20

/** Every variant with its endpoints, those in trouble first. */
export function* upstreamsOf(look: Look, routes: Iterable<Built>, process: string): Sliced<NonNullable<ConsoleState['endpoints']>> {
  const best = new Best<UpstreamLine>(look)
  const states = new Map<string, number>()
  const finds = finder(look.search)
  const { endpoints: order } = orders(look.sort)
  let open = 0
  for (const { route, rules } of routes) {
    for (const { circuit, inside, waiting, endpoints, omitted, ...report } of reportUpstreams(rules, true)) {
      if (circuit !== undefined && circuit !== 'closed') open++
      for (const { state } of endpoints) states.set(state, (states.get(state) ?? 0) + 1)
      if (!finds(route.id, report.rule, report.variant, ...endpoints.map(({ endpoint }) => endpoint))) continue
      const line: UpstreamLine = { process, ...report, circuit: circuit ?? null, inside: inside ?? null, waiting: waiting ?? null, endpoints: [...endpoints], omitted }
      const { score, name } = order(line)
      best.add(line, score, name)
    }
    yield
  }
  const items = best.page(look).map((line) => ({
    ...line,
    endpoints: line.endpoints.toSorted((a, b) => Number(a.state === 'healthy') - Number(b.state === 'healthy') || b.inFlight - a.inFlight).slice(0, listedMax),
    omitted: line.omitted + Math.max(0, line.endpoints.length - listedMax),
  }))
  return { open, states: [...states].map(([state, count]) => ({ state, count })), list: { total: best.total, offset: look.offset, items } }
}

import type { BuiltRule } from '../pipeline/rule.ts'
import type { ShieldReport } from './shield.ts'

/** One variant of one rule, and what it knows of its endpoints. */
export type UpstreamReport = ShieldReport & Readonly<{
  route: string
  rule: string
  variant: string
  modelVersion: string
  /** Endpoints that are not listed, because there are so many. */
  omitted: number
}>

/** Endpoints that are listed of one variant. */
const listedMax = 1000

/** @param all also those that nothing is asked of but what discovery gives */
export function* reportUpstreams(rules: Iterable<BuiltRule>, all: boolean): Generator<UpstreamReport> {
  for (const { route, name: rule, variants, callees } of rules) {
    for (const { name: variant, backend, model } of [...variants, ...callees]) {
      if (backend === undefined || !(all || backend.watched)) continue
      const report = backend.report()
      const { endpoints } = report
      yield {
        route, rule, variant, modelVersion: model?.version ?? '', ...report,
        endpoints: endpoints.slice(0, listedMax), omitted: Math.max(0, endpoints.length - listedMax),
      }
    }
  }
}

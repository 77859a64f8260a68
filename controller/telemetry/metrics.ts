import type { IncomingMessage, ServerResponse } from 'node:http'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Family } from '../../exposition/family.ts'
import { useFamilies } from '../../exposition/process.ts'
import { familiesOf } from '../../exposition/registry.ts'
import { createScrape } from '../../exposition/scrape.ts'
import type { Compiled } from '../compile/compiled.ts'
import type { CallRecord } from '../kubernetes/counted.ts'
import type { Observed } from '../modes/mode.ts'
import { resourceFamilies } from './resources.ts'
import { rolloutFamilies, type Judged, type RolledOut } from './rollouts.ts'

/** The controller's own metrics; names are part of the public contract. */
export interface ControllerMetrics {
  compiled(seconds: number): void
  /** From the change's arrival to the acknowledgement of the last connected proxy. */
  acknowledged(seconds: number): void
  /** A call of the API server is over. */
  called(call: CallRecord): void
  /** Answers GET /metrics. */
  scrape(request: IncomingMessage, response: ServerResponse): void
  /** As of now. */
  families(): Promise<readonly Family[]>
}

export type ProxyCounts = Readonly<{ connected: number; current: number; behind: number; refusing: number }>

export type ControllerMetricsDeps = Readonly<{
  proxies: () => ProxyCounts
  rollouts: () => RolledOut
  judgements: () => Judged
  /** Whether this process decides. */
  leading: () => boolean
  observed: () => Observed
  /** What was compiled last, and when (`performance.now()`). */
  latest: () => Readonly<{ compiled: Pick<Compiled, 'routes' | 'policies'>; at: number }> | undefined
}>

export function createControllerMetrics({ proxies, rollouts, judgements, leading, observed, latest }: ControllerMetricsDeps): ControllerMetrics {
  const registry = new Registry()
  const registers = [registry]
  const compile = new Histogram({
    name: 'modelroute_compile_duration_seconds',
    help: 'Time to compile one reading of the resources into routing tables.',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  })
  const acknowledge = new Histogram({
    name: 'modelroute_apply_to_ack_seconds',
    help: 'Time from the arrival of a change until every connected proxy has it in force.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  })
  const calls = new Counter({
    name: 'modelroute_kubernetes_requests_total',
    help: 'Calls of the Kubernetes API that are over. verb: of HTTP in lower case, or watch. code: the HTTP status, or 0 where there was no answer.',
    labelNames: ['verb', 'resource', 'code'],
    registers,
  })
  const callTimes = new Histogram({
    name: 'modelroute_kubernetes_request_duration_seconds',
    help: 'Time that calls of the Kubernetes API took, watches aside.',
    labelNames: ['verb'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  })
  registry.registerMetric(new Gauge({
    name: 'modelroute_proxies',
    help: 'Proxies by state: connected, and of these current (the published table is in force), behind, and refusing (some route).',
    labelNames: ['state'],
    registers: [],
    collect() {
      for (const [state, count] of Object.entries(proxies())) this.set({ state }, count)
    },
  }))
  registry.registerMetric(new Gauge({
    name: 'modelroute_leader',
    help: '1 where this controller decides about rollouts and writes statuses, 0 where it stands by.',
    registers: [],
    collect() {
      this.set(leading() ? 1 : 0)
    },
  }))
  registry.registerMetric(new Gauge({
    name: 'modelroute_snapshot_age_seconds',
    help: 'Since the resources, or the shares of a rollout, were last read and compiled. It grows where nothing changes.',
    registers: [],
    collect() {
      const last = latest()
      if (last !== undefined) this.set((performance.now() - last.at) / 1000)
      else this.remove()
    },
  }))
  const steady = [...useFamilies(), ...rolloutFamilies(rollouts, judgements), ...resourceFamilies(latest, observed)]
  const families = async (): Promise<readonly Family[]> => [...await familiesOf(registry), ...steady]
  return {
    compiled: (seconds) => compile.observe(seconds),
    acknowledged: (seconds) => acknowledge.observe(seconds),
    called({ verb, resource, code, seconds }) {
      calls.inc({ verb, resource, code })
      if (verb !== 'watch') callTimes.observe({ verb }, seconds)
    },
    scrape: createScrape(families),
    families,
  }
}

import { Gauge, Histogram, Registry } from 'prom-client'

/** The controller's own metrics; names are part of the public contract. */
export interface ControllerMetrics {
  compiled(seconds: number): void
  /** From the change's arrival to the acknowledgement of the last connected proxy. */
  acknowledged(seconds: number): void
  /** The exposition, and its content type. */
  scrape(): Promise<{ body: string; contentType: string }>
}

export type ProxyCounts = Readonly<{ connected: number; current: number; behind: number; refusing: number }>

export function createControllerMetrics(proxies: () => ProxyCounts): ControllerMetrics {
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
  registry.registerMetric(new Gauge({
    name: 'modelroute_proxies',
    help: 'Connected proxies by state: current (the published table is in force), behind, refusing (some route).',
    labelNames: ['state'],
    registers: [],
    collect() {
      for (const [state, count] of Object.entries(proxies())) this.set({ state }, count)
    },
  }))
  return {
    compiled: (seconds) => compile.observe(seconds),
    acknowledged: (seconds) => acknowledge.observe(seconds),
    scrape: async () => ({ body: await registry.metrics(), contentType: registry.contentType }),
  }
}

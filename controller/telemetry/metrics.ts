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

/** Rules that are rolled out, or were undone. Shares are millionths. */
export type RolledOut = Iterable<Readonly<{
  route: string
  rule: string
  state: Readonly<{ phase: string; variants: readonly Readonly<{ variant: string; share: number }>[] }>
}>>

type Estimated = Readonly<{ value: number; low: number; high: number }>

/** What the gates said last, of rules whose step is judged. */
export type Judged = Iterable<Readonly<{
  route: string
  rule: string
  judgement: Readonly<{ metrics: readonly Readonly<{ name: string; verdict: string; candidate?: Estimated; stable?: Estimated }>[] }>
}>>

export type ControllerMetricsDeps = Readonly<{ proxies: () => ProxyCounts; rollouts: () => RolledOut; judgements: () => Judged }>

export function createControllerMetrics({ proxies, rollouts, judgements }: ControllerMetricsDeps): ControllerMetrics {
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
  registry.registerMetric(new Gauge({
    name: 'modelroute_rollout_phase',
    help: 'Rules that are rolled out: 1 for the phase that each is in (Stable, Progressing, Paused, AwaitingApproval, Aborted).',
    labelNames: ['route', 'rule', 'phase'],
    registers: [],
    collect() {
      this.reset()
      for (const { route, rule, state } of rollouts()) this.set({ route, rule, phase: state.phase }, 1)
    },
  }))
  registry.registerMetric(new Gauge({
    name: 'modelroute_rollout_share',
    help: 'Of rules that are rolled out, the share of each variant in force, from 0 to 1.',
    labelNames: ['route', 'rule', 'variant'],
    registers: [],
    collect() {
      this.reset()
      for (const { route, rule, state } of rollouts()) {
        for (const { variant, share } of state.variants) this.set({ route, rule, variant }, share / 1_000_000)
      }
    },
  }))
  registry.registerMetric(new Gauge({
    name: 'modelroute_rollout_gate',
    help: 'What a gate measured: of the candidate or of stable, the value, and between which bounds (low, high) the truth is.',
    labelNames: ['route', 'rule', 'gate', 'of', 'figure'],
    registers: [],
    collect() {
      this.reset()
      for (const { route, rule, judgement } of judgements()) {
        for (const { name: gate, candidate, stable } of judgement.metrics) {
          for (const [of, figures] of [['candidate', candidate], ['stable', stable]] as const) {
            if (figures === undefined) continue
            for (const figure of ['value', 'low', 'high'] as const) this.set({ route, rule, gate, of, figure }, figures[figure])
          }
        }
      }
    },
  }))
  registry.registerMetric(new Gauge({
    name: 'modelroute_rollout_gate_verdict',
    help: '1 for what the last judgement said of a gate: pass, wait (undecided), no-data, fail.',
    labelNames: ['route', 'rule', 'gate', 'verdict'],
    registers: [],
    collect() {
      this.reset()
      for (const { route, rule, judgement } of judgements()) {
        for (const { name: gate, verdict } of judgement.metrics) this.set({ route, rule, gate, verdict }, 1)
      }
    },
  }))
  return {
    compiled: (seconds) => compile.observe(seconds),
    acknowledged: (seconds) => acknowledge.observe(seconds),
    scrape: async () => ({ body: await registry.metrics(), contentType: registry.contentType }),
  }
}

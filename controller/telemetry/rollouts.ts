import { labelText, type Family, type Sample } from '../../exposition/family.ts'

/** Rules that are rolled out, or were undone. Shares are millionths. */
export type RolledOut = Iterable<Readonly<{
  route: string
  rule: string
  state: Readonly<{ phase: string; variants: readonly Readonly<{ variant: string; share: number }>[] }>
}>>

const phases = ['Stable', 'Progressing', 'Paused', 'AwaitingApproval', 'Aborted'] as const

type Estimated = Readonly<{ value: number; low: number; high: number }>

/** What the gates said last, of rules whose step is judged. */
export type Judged = Iterable<Readonly<{
  route: string
  rule: string
  judgement: Readonly<{ metrics: readonly Readonly<{ name: string; verdict: string; candidate?: Estimated; stable?: Estimated }>[] }>
}>>

/** Where rollouts are, and what their gates see. */
export function rolloutFamilies(rollouts: () => RolledOut, judgements: () => Judged): Family[] {
  const gauge = (name: string, help: string, more: readonly string[], rows: () => Iterable<readonly [values: readonly string[], value: number]>): Family => {
    const labels = ['route', 'rule', ...more]
    return {
      name, help, type: 'gauge', labels,
      * rows(): Generator<Sample> {
        for (const [values, value] of rows()) yield { labels: labelText(labels, values), value }
      },
    }
  }
  return [
    gauge('modelroute_rollout_phase', 'Rules that are rolled out: 1 for the phase that each is in (Stable, Progressing, Paused, AwaitingApproval, Aborted), 0 for the others.', ['phase'],
      function* () {
        for (const { route, rule, state } of rollouts()) for (const phase of phases) yield [[route, rule, phase], phase === state.phase ? 1 : 0]
      }),
    gauge('modelroute_rollout_share', 'Of rules that are rolled out, the share of each variant in force, from 0 to 1.', ['variant'],
      function* () {
        for (const { route, rule, state } of rollouts()) for (const { variant, share } of state.variants) yield [[route, rule, variant], share / 1_000_000]
      }),
    gauge('modelroute_rollout_gate', 'What a gate measured: of the candidate or of stable, the value, and between which bounds (low, high) the truth is.', ['gate', 'of', 'figure'],
      function* () {
        for (const { route, rule, judgement } of judgements()) {
          for (const { name: gate, candidate, stable } of judgement.metrics) {
            for (const [of, figures] of [['candidate', candidate], ['stable', stable]] as const) {
              if (figures === undefined) continue
              for (const figure of ['value', 'low', 'high'] as const) yield [[route, rule, gate, of, figure], figures[figure]]
            }
          }
        }
      }),
    gauge('modelroute_rollout_gate_verdict', '1 for what the last judgement said of a gate: pass, wait (undecided), no-data, fail.', ['gate', 'verdict'],
      function* () {
        for (const { route, rule, judgement } of judgements()) for (const { name: gate, verdict } of judgement.metrics) yield [[route, rule, gate, verdict], 1]
      }),
  ]
}

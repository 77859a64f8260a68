import type { Analysis } from '../compile/analysis.ts'

/** One step of one rollout, as far as a judgement needs to know it. */
export type WatchedStep = Readonly<{
  /** `namespace/name`. */
  route: string
  rule: string
  /**
   * `measured.id` of the rule in the table. Another one for each step and each try of it: proxies begin to count at zero
   * under it, so that whatever they tell is of this step, also to a controller that was started in the midst of it.
   */
  id: string
  candidate: string
  analysis: Analysis
  /** Of the candidate, in millionths. */
  share: number
  /** From 1, and of how many: what a rollout may err is spread over its steps. */
  step: number
  steps: number
  /** Milliseconds since the epoch. */
  startedAt: number
  /** Milliseconds that the step takes at least. */
  hold: number
}>

/** `no-data`: less than the gate needs was measured. `wait`: what was measured does not tell yet. */
export type GateVerdict = 'pass' | 'fail' | 'wait' | 'no-data'

/** What was measured, and between which limits the truth is beyond reasonable doubt. */
export type Estimate = Readonly<{ value: number; low: number; high: number }>

export type GateJudgement = Readonly<{
  name: string
  verdict: GateVerdict
  /** Absent where nothing was measured. */
  candidate?: Estimate
  /** Of all other variants; only where a bound is relative to it. */
  stable?: Estimate
  /** `at most 0.01 and 1.2 × stable`. */
  bound: string
  /** Why nothing is known, where that is so. */
  why?: string
}>

/** What the gates of a step say at one moment. */
export type Judgement = Readonly<{
  /** Milliseconds since the epoch. */
  at: number
  /** The worst of the gates: fail, then no-data, then wait, then pass. */
  verdict: GateVerdict
  /**
   * What the step does: `abort` at once; `stay`, also when its hold is over; `advance` when its hold is over and its
   * approval given. It follows from the verdict, from `failureLimit`, and from `onNoData`.
   */
  action: 'abort' | 'stay' | 'advance'
  /** For the status: each gate with its figures. */
  why: string
  metrics: readonly GateJudgement[]
}>

/** Judges the steps under way. */
export type Analyst = Readonly<{
  /**
   * The last judgement of the step; a new one is made once `analysis.interval`. Before the first, that nothing is known.
   * Cheap enough to be called whenever something happens.
   */
  judge(step: WatchedStep, now: number): Judgement
  /** Lets go of what is known of every step but these. */
  keep(steps: readonly Pick<WatchedStep, 'route' | 'rule' | 'id'>[]): void
}>

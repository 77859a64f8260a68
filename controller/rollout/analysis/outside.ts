import type { Gate } from '../../compile/analysis.ts'
import type { GateJudgement, WatchedStep } from '../judge.ts'

/** Asks for the numbers of a gate that others measure, and judges it. It never rejects. */
export type AskOutside = (gate: Gate, step: WatchedStep) => Promise<GateJudgement>

/**
 * What became of a request that was to be logged. `logged`: its events are with the sink, which counts what becomes of them.
 * `dropped`: there was no room for it. `unlogged`: this proxy has no log.
 */
export type PredictionOutcome = 'logged' | 'unlogged' | 'dropped'

export class PredictionTally {
  readonly labels: Readonly<{ route: string; rule: string }>
  readonly outcomes = new Map<PredictionOutcome, number>()
  readonly withheld = new Map<string, number>()

  constructor(route: string, rule: string) {
    this.labels = { route, rule }
  }

  count(outcome: PredictionOutcome): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1)
  }

  withhold(why: string): void {
    this.withheld.set(why, (this.withheld.get(why) ?? 0) + 1)
  }
}

import type { ModelRoute } from '../../crds/types.gen.ts'
import type { RouteOutcome } from '../compile/compiled.ts'
import type { Clock } from '../kubernetes/clock.ts'
import type { Resource, RuleRollout } from '../sources/snapshot.ts'
import type { Earlier } from './commands.ts'
import type { Around, Entry } from './entry.ts'
import type { Analyst } from './judge.ts'
import type { News } from './machine.ts'
import type { RuleState } from './state.ts'

/** Whom a rollout is about. */
export type About = Readonly<{ namespace: string; name: string; uid: string; generation: number }>

export type RolloutsOptions = Readonly<{
  clock: Clock
  analyst: Analyst
  /** Only who leads decides; the others put in force what is recorded. Asked again before each decision. */
  leading: () => boolean
  /** What is in force is other than what was compiled last. */
  moved: () => void
  /** `states` of a route, or of all, is to be recorded, and `recorded` to be called when it is. */
  changed: (route?: string) => void
  tell: (about: About, rule: string, news: News) => void
  /** The revisions of a route, for undo. */
  history: (about: About) => Promise<readonly Earlier[]>
  /** A command of an annotation is to be marked, and to come again so. */
  claim: (about: About, rule: string, text: string) => void
  /** A command of an annotation is done with, and may go. */
  handled: (about: About, rule: string, text: string) => void
}>

/** What is known of a route's rollouts. */
export type Kept = {
  readonly about: About
  readonly resource: Resource<ModelRoute>
  readonly outcome: RouteOutcome
  readonly around: ReadonlyMap<string, Around>
  readonly rules: Map<string, Entry>
  /** Of `rules`: replaced when they differ. */
  table: ReadonlyMap<string, RuleRollout>
  states: ReadonlyMap<string, RuleState>
}

import type { Variant } from '../../table/route.ts'
import type { Budget } from '../upstream/again.ts'
import { newBackendState, type BackendState } from '../upstream/backend.ts'
import type { Tiers } from '../upstream/next.ts'
import type { SplitState } from '../upstream/split.ts'

/** What of a rule outlives the table that holds it. Each part is made when it is first needed: most rules never do. */
export type RuleState = {
  split: SplitState
  /** Of each variant and where it leads; of a rule that is edited, those before it too. */
  backends: readonly BackendState[]
  tiers: Tiers | undefined
  budget: Budget | undefined
}

export const newRuleState = (): RuleState => ({ split: { owed: undefined }, backends: [], tiers: undefined, budget: undefined })

/** A variant that leads where it led keeps what is known of its backend. */
export function backendStateOf(state: RuleState, { name, target }: Variant): BackendState {
  const leads = JSON.stringify(target)
  const known = state.backends.find((each) => each.variant === name && JSON.stringify(each.target) === leads)
  if (known !== undefined) return known
  const made = newBackendState(name, target)
  state.backends = [...state.backends, made]
  return made
}

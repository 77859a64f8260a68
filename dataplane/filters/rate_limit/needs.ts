import type { Limit } from '../../../table/limits.ts'
import type { Condition, Cost } from '../../../table/expression.ts'

/** What the limits of a rule must know of a request: whatever none of them asks for is not looked at. */
export type Needs = Readonly<{
  /** The model that it names, which may be in its body. */
  model: boolean
  /** What it asks of the model: rows, tokens. */
  demand: boolean
  /** The number of its bytes. */
  size: boolean
  /** How many tokens the answer says that it took. */
  usage: boolean
}>

export function needsOf(limits: readonly Readonly<{ limit: Limit; condition: Condition | undefined; cost: Cost | undefined }>[]): Needs {
  const source = limits.map(({ limit }) => limit.cost ?? '').join(' ')
  const tokens = limits.some(({ limit }) => limit.unit === 'tokens')
  return {
    model: limits.some(({ limit: { appliesTo, counters }, condition, cost }) =>
      appliesTo.models.length > 0 || counters.some(({ type }) => type === 'Model') || condition?.readsModel === true || cost?.readsModel === true),
    demand: tokens || /\b(?:rows|tensorElements|inputTokens|outputTokens|maxTokens|usage)\b/.test(source),
    size: tokens || /\b(?:requestBytes|usage)\b/.test(source),
    usage: tokens || /\b(?:inputTokens|outputTokens|usage)\b/.test(source),
  }
}

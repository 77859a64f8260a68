import type { Limit } from '../../../table/limits.ts'
import type { Needs } from '../../metering/subject.ts'
import type { Condition, Cost } from '../../../table/expression.ts'

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

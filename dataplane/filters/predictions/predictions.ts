import { Kind } from '../../pipeline/headers.ts'
import { isSampled } from '../../predictions/sample.ts'
import { onlyReads } from '../../protocols/idempotent.ts'
import type { Filter } from '../filter.ts'

/** Has a sample of the requests written down. After what may refuse or change them, and before what may answer them. */
export const predictions: Filter = {
  name: 'predictions',
  build({ route, rule }, { predictions: log }) {
    if (rule.predictions === undefined) return undefined
    const { percent, watch } = log.of(route, rule, rule.predictions)
    return function logPrediction(exchange) {
      const { method, path, received } = exchange
      // What asks how a model is, or opens a tunnel, is no prediction.
      if ((received.seen & (1 << Kind.upgrade)) !== 0 || method !== 'POST' || onlyReads(path, received.headers)) return undefined
      if (exchange.explaining !== undefined) exchange.explaining.set('predictions', `${percent} % of these are logged`)
      else if (isSampled(exchange, percent)) watch(exchange)
      return undefined
    }
  },
}

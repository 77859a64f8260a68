import { chooseVariant } from '../../pipeline/variant.ts'
import type { Filter } from '../filter.ts'

/** After everything that may refuse a request, and before it is given what only its own variant may see. */
export const mirror: Filter = {
  name: 'mirror',
  build({ rule }) {
    if (rule.mirror === undefined) return undefined
    return function copyRequest(exchange) {
      const { rule: built } = exchange
      if (built !== undefined && chooseVariant(exchange, built) !== undefined) built.mirror?.copy(exchange)
      return undefined
    }
  },
}

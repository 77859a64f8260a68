import type { Filter } from '../filter.ts'
import { createCors } from './policy.ts'

/** Runs before anything that may refuse, so that a page can read why. */
export const cors: Filter = {
  name: 'cors',
  build({ rule }) {
    if (rule.cors === undefined) return undefined
    const policy = createCors(rule.cors)
    return function shareAnswer(exchange) {
      ;(exchange.headTaps ??= []).push((_, headers) => policy.stamp(exchange, headers))
      return undefined
    }
  },
}

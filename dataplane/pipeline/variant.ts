import type { Exchange } from './exchange.ts'
import type { BuiltRule, BuiltVariant } from './rule.ts'

/** The variant of a request, chosen once: a filter that counts by variant asks for it before it is needed to go on. */
export function chooseVariant(exchange: Exchange, rule: BuiltRule): BuiltVariant | undefined {
  return exchange.variant ??= rule.choose(exchange)
}

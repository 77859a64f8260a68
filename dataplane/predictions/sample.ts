import type { Exchange } from '../pipeline/exchange.ts'
import { hash32 } from '../upstream/hash.ts'

/**
 * Whether a request is one of those that are logged: by the trace that its caller says it is a part of, else by its id, so
 * that all proxies that it passes log it or none, and one that is sent again is logged again.
 */
export function isSampled({ trace, requestId }: Pick<Exchange, 'trace' | 'requestId'>, percent: number): boolean {
  // A trace that begins here is another one each time.
  const key = trace === undefined || trace.parent === '' ? requestId : trace.id
  return percent >= 100 || hash32(key, seed) < (percent / 100) * 2 ** 32
}

/** Other than those of splits, so that a sample has its share of every variant. */
const seed = 0x70726564

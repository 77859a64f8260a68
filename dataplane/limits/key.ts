import { hash } from 'node:crypto'
import type { Limit } from '../../table/limits.ts'

/** Values that stay readable in a key; whatever else, and whatever is long, becomes a digest. */
const plain = /^[A-Za-z0-9._@:/-]{1,64}$/

/** Counters whose values may be secrets, such as a header that carries a key. */
const hidden: ReadonlySet<string> = new Set(['Header', 'Claim'])

/**
 * Names the counts of a limit by the values of its counters, given in their order. The names are at most 64 bytes a
 * value longer than the limit's own, and different for different values. They name no amount, so that an edit of it
 * goes on from what was counted; another name of the limit or another algorithm counts anew.
 */
export function counterKeys({ policy, name, algorithm, counters }: Pick<Limit, 'policy' | 'name' | 'algorithm' | 'counters'>) {
  const prefix = `${policy}/${name} ${algorithm.type}`
  const hide = counters.map(({ type }) => hidden.has(type))
  return (values: readonly string[]): string => {
    let key = prefix
    for (let i = 0; i < values.length; i++) {
      const value = values[i] ?? ''
      // A digest begins with a character that a readable value cannot have.
      key += ` ${hide[i] !== true && plain.test(value) ? value : `#${hash('sha256', value, 'base64url')}`}`
    }
    return key
  }
}

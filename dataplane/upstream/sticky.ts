import { hash32, mixed } from './hash.ts'
import type { Share } from './split.ts'

/** `bucketOf`: of a key, one of 2^32, by which its share is chosen. `of`: the position of that share. */
export type Sticky = Readonly<{ bucketOf(key: string): number; of(bucket: number): number }>

/**
 * Gives every key a share of its own accord, with nothing kept: weighted rendezvous hashing (Schindelhauer, Schomaker
 * 2005). Each share draws from a key's bucket a time, exponential with its weight, and the earliest has the key. So a
 * share has keys in proportion to its weight; and since a larger weight only makes its own times earlier, what moves
 * when one share grows moves to it, once, and comes back only when it shrinks. Of three or more, the rounding of the
 * shares to millionths can move about that part of the keys between the others.
 * @param seed what the buckets belong to: two rules put the same key into buckets that have nothing to do with each other
 * @returns undefined when no share has a weight
 */
export function createSticky(shares: readonly Share[], seed: string): Sticky | undefined {
  const ruleSeed = hash32(seed, 0)
  const drawn = [...shares.entries()].filter(([, { weight }]) => weight > 0)
    .map(([position, { name, weight }]) => ({ position, weight, seed: hash32(name, ruleSeed) }))
  if (drawn.length === 0) return undefined
  return {
    bucketOf: (key) => hash32(key, ruleSeed),
    of(bucket) {
      let position = 0
      let earliest = Number.POSITIVE_INFINITY
      for (const share of drawn) {
        // Half a step in, so that it is never 0.
        const time = -Math.log((mixed(mixed(bucket ^ share.seed) + share.seed) + 0.5) / 0x1_0000_0000) / share.weight
        if (time < earliest) {
          earliest = time
          position = share.position
        }
      }
      return position
    },
  }
}

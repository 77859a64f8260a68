import { digestOf } from './digest.ts'
import type { Item } from './memory.ts'

/** What is to be forgotten: the answers of rules that have this tag and are of this route; without either, all. */
export type Purge = Readonly<{ tag?: string | undefined; route?: string | undefined }>

/** An answer, or which headers tell several apart. Another key for the same is of no use to others. */
export type Shareable = Extract<Item, { kind: 'entry' | 'vary' }>

/** Where a text stands among those of its partition: the words that are compared beside its vector. */
export type TextPlace = Readonly<{ partition: string; words: readonly string[]; vector: Float32Array }>

/** Another text of the same partition, and the key of its answer. */
export type SharedText = Readonly<{ key: string; words: readonly string[]; similarity: number }>

/**
 * A store of answers that proxies share. It may be away, slow or wrong at any time: then nothing is found, and a request
 * waits for that once at most. `mark` is the number of the last purge of the rule: answers are kept under it, so that
 * after a purge nobody finds what was kept before. Nothing rejects.
 */
export type Shared = Readonly<{
  /** Begins, and tells of purges by their names; until it is known that there are none more, nothing is found. */
  follow(told: (purges: ReadonlyMap<string, number>) => void): void
  /** Undefined at once: it is not asked. */
  find(tenant: string, key: string, mark: number): Promise<Shareable | undefined> | undefined
  /** @param ttl milliseconds */
  keep(tenant: string, key: string, mark: number, item: Shareable, ttl: number): void
  /** The texts that are nearest to one. Undefined at once: it is not asked. */
  nearest(tenant: string, mark: number, place: TextPlace): Promise<readonly SharedText[] | undefined> | undefined
  /** Says that the answer to a text is under a key. @param ttl milliseconds */
  place(tenant: string, mark: number, place: TextPlace, key: string, ttl: number): void
  /** Tells all others; what cannot be told now is told later. @returns whether it is told */
  purge(purge: Purge, number: number): Promise<boolean>
  close(): void
}>

/** What `tag` and `route` of a query ask for; as a string: what is wrong with it. Whoever mistypes one must not purge all. */
export function purgeIn(query: string): Purge | string {
  const parameters = new URLSearchParams(query)
  const purge: { tag?: string; route?: string } = {}
  for (const [name, value] of parameters) {
    if (name !== 'tag' && name !== 'route') return `${name} is not known; known are tag and route`
    if (purge[name] !== undefined) return `${name} is there twice`
    if (value === '' || value.length > 512) return `${name} says nothing`
    purge[name] = value
  }
  return purge.route === undefined || /^[^/]+\/[^/]+$/.test(purge.route) ? purge : 'route is namespace/name'
}

export function nameOf({ tag, route }: Purge): string {
  if (tag === undefined) return route === undefined ? 'all' : `route=${route}`
  return route === undefined ? `tag=${tag}` : `route=${route} tag=${tag}`
}

/** The names of the purges that concern the rules of a route with these tags. */
export function namesFor(route: string, tags: readonly string[]): string[] {
  return [nameOf({}), nameOf({ route }), ...tags.flatMap((tag) => [nameOf({ tag }), nameOf({ tag, route })])]
}

/** A key that is another one after each purge. */
export const numbered = (key: string, mark: number): string => digestOf(`${mark};`, Buffer.from(key, 'latin1'))

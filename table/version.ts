import { createHash } from 'node:crypto'

/** A table's content without its items: the hash of each, by id. Both halves compute it, so a lost update shows. */
export type Hashes = ReadonlyMap<string, string>

const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 32)

/** The item as it travels decides: the same JSON text, the same hash. */
export function hashOf(item: unknown): string {
  return hashOfText(JSON.stringify(item))
}

/** For a caller that has the item's JSON text already. */
export function hashOfText(text: string): string {
  return digest(text)
}

/** The same items, the same version, whatever the order they came in. */
export function versionOf(hashes: Hashes): string {
  return digest([...hashes].map(([id, hash]) => `${id}\n${hash}\n`).sort().join(''))
}

import { createHash, hash } from 'node:crypto'
import { detached } from '../pipeline/recalled.ts'

/** What is hashed in one piece: beyond it, the copy costs more than it saves. */
const scratch = Buffer.allocUnsafeSlow(32_768)

/** Its beginnings, by their length: those that are asked for again and again are made once. */
const views = Array<Buffer | undefined>(4096)

/** SHA-256 of a text and what comes after it, as 32 characters. */
export function digestOf(text: string, rest: Buffer | string): string {
  const length = rest.length * (typeof rest === 'string' ? 3 : 1)
  if (text.length * 3 + length > scratch.length) {
    return createHash('sha256').update(text).update(rest).digest('binary')
  }
  let end = scratch.write(text)
  end += typeof rest === 'string' ? scratch.write(rest, end) : rest.copy(scratch, end)
  return hash('sha256', end < views.length ? views[end] ??= scratch.subarray(0, end) : scratch.subarray(0, end), 'binary')
}

/** Of questions that were asked lately; longer ones are hashed each time. Bytes. */
const places = 128
const lengthMax = 4096
/** One that is in the way of others is kept as long as it is asked for more often than every so many times. */
const missesMax = 8

type Known = { text: string; rest: Buffer; digest: string; misses: number }
const known = Array<Known | undefined>(places).fill(undefined)

/**
 * The same, remembered for what was asked lately: what is in a cache is asked for again and again, and to compare a
 * kilobyte takes a twentieth of what it takes to hash it. Compared is all of it, so that nothing is taken for another.
 */
export function digestAgain(text: string, rest: Buffer): string {
  if (text.length + rest.length > lengthMax) return digestOf(text, rest)
  const place = placeOf(text, rest)
  const held = known[place]
  if (held !== undefined && held.text === text && held.rest.equals(rest)) {
    held.misses = 0
    return held.digest
  }
  const digest = digestOf(text, rest)
  if (held === undefined || ++held.misses === missesMax) known[place] = { text: detached(text), rest: Buffer.from(rest), digest, misses: 0 }
  return digest
}

/** Some of its bytes tell most questions apart. */
function placeOf(text: string, rest: Buffer): number {
  const { length } = rest
  let sum = text.length + length * 31
  const step = (length >> 4) + 1
  for (let at = length - 1; at >= 0; at -= step) sum = (sum * 31 + (rest[at] ?? 0)) | 0
  return (sum >>> 0) % places
}

import { stringEnd } from '../protocols/json.ts'
import type { Sliced } from '../sliced.ts'

/** Where the rows of a tensor begin and end in its JSON. `nested`: each is a list of its own. */
export type Rows = Readonly<{ nested: boolean; starts: readonly number[]; ends: readonly number[] }>

const code = (character: string) => character.charCodeAt(0)
const QUOTE = code('"')
const OPEN = code('[')
const CLOSE = code(']')
const COMMA = code(',')

/** What a number, a truth value, or one of Python's numbers that are none is written with. */
const scalar = new Uint8Array(256)
for (const character of '+-.0123456789eEtrufalsnNIity') scalar[code(character)] = 1
const blank = new Uint8Array(256)
for (const character of ' \t\r\n') blank[code(character)] = 1

/** Values that are passed before others have their turn. */
const turn = 4096

/**
 * Finds the rows of `data`, which stands from `from` to `to`, and holds it to its shape: one value too many in a row
 * would be the first of the next one's. It is written flat, or as lists in lists as deep as the shape is long.
 * @returns undefined where it is neither
 */
export function* rowsOf(json: Buffer, from: number, to: number, shape: readonly number[]): Sliced<Rows | undefined> {
  const perRow = shape.slice(1).reduce((product, size) => product * size, 1)
  if (json[from] !== OPEN || perRow === 0) return undefined
  let at = from + 1
  while (blank[json[at] ?? 0] === 1) at++
  const nested = shape.length > 1 && json[at] === OPEN
  const sizes = nested ? shape : [(shape[0] ?? 0) * perRow]
  const starts: number[] = []
  const ends: number[] = []
  /** How many values each of the lists that are open has so far. */
  const counts = sizes.map(() => 0)
  let depth = 1
  let leaves = 0
  /** A value must come, can come, or must not. */
  let wanted: 'value' | 'first' | 'none' = 'first'
  for (at = from + 1; at < to; at++) {
    const byte = json[at] ?? 0
    if (blank[byte] === 1) continue
    if (byte === COMMA) {
      if (wanted !== 'none') return undefined
      wanted = 'value'
      continue
    }
    if (byte === CLOSE) {
      if (wanted === 'value' || counts[depth - 1] !== sizes[depth - 1]) return undefined
      depth--
      if (depth === 0) return at === to - 1 ? { nested, starts, ends } : undefined
      if (depth === 1) ends.push(at + 1)
      wanted = 'none'
      continue
    }
    if (wanted === 'none') return undefined
    const count = counts[depth - 1] ?? 0
    counts[depth - 1] = count + 1
    if (byte === OPEN) {
      if (depth === sizes.length) return undefined
      if (depth === 1) starts.push(at)
      counts[depth++] = 0
      wanted = 'first'
      continue
    }
    if (depth !== sizes.length) return undefined
    const end = leafEnd(json, at)
    if (end <= at || end > to) return undefined
    if (!nested) {
      if (count % perRow === 0) starts.push(at)
      if (count % perRow === perRow - 1) ends.push(end)
    }
    at = end - 1
    wanted = 'none'
    if (++leaves % turn === 0) yield
  }
  return undefined
}

function leafEnd(json: Buffer, from: number): number {
  if (json[from] === QUOTE) return stringEnd(json, from)
  let at = from
  while (scalar[json[at] ?? 0] === 1) at++
  return at
}

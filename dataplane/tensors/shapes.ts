import type { Spans } from './spans.ts'
import { rankMax } from './tensor.ts'

/** What lists within lists of JSON hold, and in what shape. */
export type Found = Readonly<{ shape: readonly number[]; kind: 'whole' | 'fraction' | 'truth' | 'text' | 'none' }>

const kinds = ['whole', 'fraction', 'truth', 'text'] as const

/**
 * The shape of a value of JSON: of a number it is empty. Undefined: lists of different lengths, values of different kinds,
 * or objects.
 */
export function shapeOf(json: Spans, from: number, to: number): Found | undefined {
  const { bytes } = json
  const lengths: number[] = []
  const counts: number[] = []
  let rank = -1
  let kind = -1
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09 || byte === 0x2c) continue
    if (byte === 0x5b) {
      if (counts.length === rankMax || (rank !== -1 && counts.length >= rank)) return undefined
      if (counts.length > 0) counts[counts.length - 1] = (counts.at(-1) ?? 0) + 1
      counts.push(0)
      continue
    }
    if (byte === 0x5d) {
      const depth = counts.length - 1
      const count = counts.pop()
      if (count === undefined) return undefined
      if (lengths[depth] === undefined) lengths[depth] = count
      else if (lengths[depth] !== count) return undefined
      if (count === 0 && rank === -1) rank = depth + 1
      continue
    }
    if (rank === -1) rank = counts.length
    else if (rank !== counts.length) return undefined
    if (counts.length > 0) counts[counts.length - 1] = (counts.at(-1) ?? 0) + 1
    const end = json.skip(at)
    const found = end === -1 || end > to ? -1 : kindOf(bytes, at, end)
    if (found === -1 || (kind !== -1 && kind !== found && kind + found !== 1)) return undefined
    kind = Math.max(kind, found)
    at = end - 1
  }
  return { shape: lengths, kind: kinds[kind] ?? 'none' }
}

/** -1: none that a tensor can have. */
function kindOf(bytes: Buffer, from: number, to: number): number {
  const byte = bytes[from] ?? 0
  if (byte === 0x22) return 3
  if (byte === 0x74 || byte === 0x66) return 2
  if (byte !== 0x2d && (byte < 48 || byte > 57)) return byte === 0x4e || byte === 0x49 || byte === 0x6e ? 1 : -1
  for (let at = from; at < to; at++) if (bytes[at] === 0x2e || bytes[at] === 0x65 || bytes[at] === 0x45) return 1
  // What has more digits than 64 bits have is no integer.
  return to - from > 19 ? 1 : 0
}

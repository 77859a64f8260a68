import { isList, passed, walk } from '../json/text.ts'
import type { Members } from '../protocols/json.ts'
import type { Sliced } from '../sliced.ts'
import { bytesOf } from './single.ts'

/** All other members as they stand in the text, each with a comma after it. */
export function restOf(json: Buffer, members: Members, without: readonly string[]): Buffer {
  const parts: (Buffer | string)[] = []
  for (const name of members.names()) {
    const place = members.place(name)
    if (place !== undefined && !without.includes(name)) parts.push(`${JSON.stringify(name)}:`, trimmed(json, place), ',')
  }
  return bytesOf(parts)
}

/** The text of a member's value; undefined: there is none. */
export function textOf(json: Buffer, members: Members, name: string): Buffer | undefined {
  const place = members.place(name)
  return place && trimmed(json, place)
}

/** Without the spaces after it. */
function trimmed(json: Buffer, [from, to]: readonly [from: number, to: number]): Buffer {
  let end = to
  while (end > from && (json[end - 1] ?? 0) <= 0x20) end--
  return json.subarray(from, end)
}

/** Where the values of a list stand; undefined: it is none. */
export function* spansOf(json: Buffer, from: number, to: number): Sliced<(readonly [from: number, to: number])[] | undefined> {
  if (!isList(json, from)) return undefined
  const spans: (readonly [from: number, to: number])[] = []
  const { end } = yield* walk(json, from, function* ({ from: value }) {
    const valueEnd = yield* passed(json, value)
    spans.push([value, valueEnd])
    return valueEnd
  })
  return end <= to ? spans : undefined
}

/** A shape as V2 has it; undefined: it is none, or one that nothing fits. */
export function shapeIn(value: unknown): readonly number[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > 16) return undefined
  const shape = value.filter((size): size is number => Number.isSafeInteger(size) && size > 0 && size < 2 ** 31)
  return shape.length === value.length && shape.reduce((product, size) => product * size, 1) < 2 ** 31 ? shape : undefined
}

/** Values of one row. */
export const perRow = (shape: readonly number[]) => shape.slice(1).reduce((product, size) => product * size, 1)

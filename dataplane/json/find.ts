import type { Sliced } from '../sliced.ts'
import { begin, finish, isList, isObject, passed, Unreadable, valueEnd, walk } from './text.ts'

/** Where the value stands that a pointer leads to; undefined where there is none. What is named twice is in no certain place. */
export function* found(json: Buffer, segments: readonly string[]): Sliced<readonly [from: number, to: number] | undefined> {
  const seen: [from: number, to: number][] = []
  finish(json, yield* look(json, begin(json), segments, seen))
  if (seen.length > 1) throw new Unreadable('a member is named twice')
  return seen[0]
}

function* look(json: Buffer, from: number, segments: readonly string[], seen: [from: number, to: number][]): Sliced<number> {
  const [first, ...rest] = segments
  if (first === undefined) {
    const to = yield* passed(json, from)
    seen.push([from, to])
    return to
  }
  if (!isObject(json, from) && !isList(json, from)) return yield* passed(json, from)
  const { end } = yield* walk(json, from, ({ name, from: value }) => name === first ? look(json, value, rest, seen) : valueEnd(json, value))
  return end
}

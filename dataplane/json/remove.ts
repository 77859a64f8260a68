import type { Sliced } from '../sliced.ts'
import type { Places } from './pointer.ts'
import { joined } from './joined.ts'
import { begin, finish, isList, isObject, passed, valueEnd, walk } from './text.ts'

/** Stretches of the text that are left out, in their order. */
type Cuts = (readonly [from: number, to: number])[]

/**
 * Takes values out, wherever they are there; what is named twice, twice. Everything else stays byte for byte.
 * @param places as `spread` makes them; the whole is not one of them
 */
export function* removed(json: Buffer, places: Places<true>): Sliced<Buffer> {
  const cuts: Cuts = []
  finish(json, yield* cut(json, begin(json), places, cuts))
  if (cuts.length === 0) return json
  const kept: Buffer[] = []
  let at = 0
  for (const [i, [from, to]] of cuts.entries()) {
    kept.push(json.subarray(at, from))
    at = to
    if (i % 1024 === 1023) yield
  }
  kept.push(json.subarray(at))
  return yield* joined(kept)
}

function* cut(json: Buffer, from: number, places: Places<true>, cuts: Cuts): Sliced<number> {
  if (!isObject(json, from) && !isList(json, from)) return yield* passed(json, from)
  const every = places.inner.get('*')
  /** Where what goes begins, and where the item before it ended. */
  let going: number | undefined
  let kept = from + 1
  const { end, tail } = yield* walk(json, from, ({ name, start, from: value, before }) => {
    const inner = places.inner.get(name) ?? every
    if (inner?.value === true) {
      if (going === undefined) {
        going = start
        kept = before
      }
      return valueEnd(json, value)
    }
    if (going !== undefined) cuts.push([going, start])
    going = undefined
    return inner === undefined ? valueEnd(json, value) : cut(json, value, inner, cuts)
  })
  // Nothing comes after it: the comma before it goes too.
  if (going !== undefined) cuts.push([kept, tail])
  return end
}

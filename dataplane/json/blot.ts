import type { Sliced } from '../sliced.ts'
import { joined } from './joined.ts'
import type { Places } from './pointer.ts'
import { begin, finish, isList, isObject, passed, valueEnd, walk } from './text.ts'

const nothing = Buffer.from('null')

/**
 * Puts `null` in the place of values, wherever they are there; what is named twice, twice. Everything else stays byte
 * for byte, so that lists keep their length and rows their columns.
 * @param places as `spread` makes them; the whole is not one of them
 */
export function* blotted(json: Buffer, places: Places<true>): Sliced<Buffer> {
  const blots: (readonly [from: number, to: number])[] = []
  finish(json, yield* blot(json, begin(json), places, blots))
  if (blots.length === 0) return json
  const kept: Buffer[] = []
  let at = 0
  for (const [i, [from, to]] of blots.entries()) {
    kept.push(json.subarray(at, from), nothing)
    at = to
    if (i % 1024 === 1023) yield
  }
  kept.push(json.subarray(at))
  return yield* joined(kept)
}

function* blot(json: Buffer, from: number, places: Places<true>, blots: (readonly [from: number, to: number])[]): Sliced<number> {
  if (!isObject(json, from) && !isList(json, from)) return yield* passed(json, from)
  const every = places.inner.get('*')
  const { end } = yield* walk(json, from, ({ name, from: value }) => {
    const inner = places.inner.get(name) ?? every
    if (inner?.value === true) return blotOut(json, value, blots)
    return inner === undefined ? valueEnd(json, value) : blot(json, value, inner, blots)
  })
  return end
}

function* blotOut(json: Buffer, from: number, blots: (readonly [from: number, to: number])[]): Sliced<number> {
  const to = yield* passed(json, from)
  blots.push([from, to])
  return to
}

import type { Sliced } from '../sliced.ts'
import { joined } from './joined.ts'
import { escaped, type Places } from './pointer.ts'
import { begin, finish, isList, isObject, passed, Unreadable, valueEnd, walk } from './text.ts'

/** A place that cannot have a value: there is a text, a number or a shorter list on the way to it. */
export class Misplaced extends Unreadable {
  readonly pointer: string

  constructor(pointer: string) {
    super(`there is no place for ${pointer}`)
    this.pointer = pointer
  }
}

type Edit = Readonly<{ from: number; to: number; text: string }>

/**
 * Writes values, each as the JSON that `textOf` gives; objects on the way to them are made where they are missing.
 * In a list a place is an element that is there, or the one after the last (`-`). Everything else stays byte for byte.
 */
export function* written<T>(json: Buffer, places: Places<T>, textOf: (value: T) => string): Sliced<Buffer> {
  const edits: Edit[] = []
  finish(json, yield* write({ json, textOf, edits }, begin(json), places, ''))
  const pieces: Buffer[] = []
  let at = 0
  for (const { from, to, text } of edits) {
    pieces.push(json.subarray(at, from), Buffer.from(text))
    at = to
  }
  pieces.push(json.subarray(at))
  return yield* joined(pieces)
}

type Writing<T> = Readonly<{ json: Buffer; textOf: (value: T) => string; edits: Edit[] }>

function* write<T>(writing: Writing<T>, from: number, places: Places<T>, pointer: string): Sliced<number> {
  const { json, textOf, edits } = writing
  if (places.value !== undefined) {
    const to = yield* passed(json, from)
    edits.push({ from, to, text: textOf(places.value) })
    return to
  }
  const object = isObject(json, from)
  if (!object && !isList(json, from)) throw new Misplaced(`${pointer}/${escaped([...places.inner.keys()][0] ?? '')}`)
  const missing = new Set(places.inner.keys())
  const seen = new Set<string>()
  const { end, tail, count } = yield* walk(json, from, ({ name, from: value }) => {
    const inner = places.inner.get(name)
    if (inner === undefined) return valueEnd(json, value)
    if (seen.has(name)) throw new Unreadable('a member is named twice')
    seen.add(name)
    missing.delete(name)
    return write(writing, value, inner, `${pointer}/${escaped(name)}`)
  })
  if (missing.size === 0) return end
  const added: string[] = []
  for (const name of [...missing].sort(byIndex)) {
    const inner = places.inner.get(name)
    if (inner === undefined) continue
    if (!object && name !== '-' && name !== String(count + added.length)) throw new Misplaced(`${pointer}/${escaped(name)}`)
    added.push(object ? `${JSON.stringify(name)}:${made(inner, textOf)}` : made(inner, textOf))
  }
  edits.push({ from: tail, to: tail, text: `${count > 0 ? ',' : ''}${added.join(',')}` })
  return end
}

/** Numbers by size, and `-` after them: there is no other order in which they could be added to a list. */
const byIndex = (a: string, b: string) => (a === '-' ? 1 : b === '-' ? -1 : Number(a) - Number(b) || 0)

function made<T>(places: Places<T>, textOf: (value: T) => string): string {
  if (places.value !== undefined) return textOf(places.value)
  return `{${[...places.inner].map(([name, inner]) => `${JSON.stringify(name)}:${made(inner, textOf)}`).join(',')}}`
}

import { space, stringEnd } from '../protocols/json.ts'
import { inSlices, type Sliced } from '../sliced.ts'

/**
 * Reads JSON as text, so that every byte that nobody asked about can stay as it is: a number beyond 2^53, the order of
 * the members, the spaces. Python's NaN and Infinity pass as the numbers that they are.
 */

/** Bytes that are looked at in one go. */
const stretch = 65_536
/** Items that are looked into in one go: each may take some microseconds. */
const sliceItems = 256
/** Smaller than this it is read at once. Bytes. */
const atOnce = 262_144

const code = (character: string) => character.charCodeAt(0)
const QUOTE = code('"')
const COMMA = code(',')
const COLON = code(':')

/** What may stand outside of a string: 1 for brackets that open, 2 for those that close, 3 for what may be in a scalar, 4 for the rest. */
const outside = new Uint8Array(256)
for (const character of '+-.0123456789eEtrufalsnNIity') outside[code(character)] = 3
for (const character of ' \t\r\n,:') outside[code(character)] = 4
for (const character of '{[') outside[code(character)] = 1
for (const character of '}]') outside[code(character)] = 2

/** It is not JSON, or could be read in two ways. */
export class Unreadable extends Error {}

/** Where the value ends that begins at `from`: at once, unless it is long. */
export function valueEnd(json: Buffer, from: number): number | Sliced<number> {
  const byte = json[from] ?? 0
  if (byte === QUOTE) return textEnd(json, from)
  const kind = outside[byte]
  if (kind === 3) return scalarEnd(json, from)
  if (kind !== 1) throw new Unreadable('a value is missing')
  const reading: Reading = { at: from, depth: 0 }
  return ends(json, reading) ? reading.at : longEnd(json, reading)
}

type Reading = { at: number; depth: number }

function* longEnd(json: Buffer, reading: Reading): Sliced<number> {
  do yield
  while (!ends(json, reading))
  return reading.at
}

/** Reads on, for a stretch at most. True: the brackets that were opened are closed. */
function ends(json: Buffer, reading: Reading): boolean {
  let { at, depth } = reading
  const pause = at + stretch
  for (; at < json.length; at++) {
    const kind = outside[json[at] ?? 0] ?? 0
    if (kind >= 3) {
      if (at < pause) continue
      reading.at = at + 1
      reading.depth = depth
      return false
    }
    if (kind === 1) depth++
    else if (kind === 2) {
      if (--depth > 0) continue
      reading.at = at + 1
      return true
    } else if (json[at] === QUOTE) at = textEnd(json, at) - 1
    else throw new Unreadable('it holds what JSON has not')
  }
  throw new Unreadable('it ends in the middle')
}

function textEnd(json: Buffer, from: number): number {
  const end = stringEnd(json, from)
  if (end === -1) throw new Unreadable('a text does not end')
  return end
}

function scalarEnd(json: Buffer, from: number): number {
  let at = from
  while (outside[json[at] ?? 0] === 3) at++
  return at
}

/** One member of an object, or one element of a list: where it begins (with its name), where its value does, and where the one before it ended. */
export type Item = Readonly<{ name: string; start: number; from: number; before: number }>

/**
 * Goes through an object or a list. `each` says where the value of an item ends, and is told of every one.
 * @returns where it ends, and where something could be added to it
 */
export function* walk(json: Buffer, open: number, each: (item: Item) => number | Sliced<number>): Sliced<{ end: number; tail: number; count: number }> {
  const object = json[open] === code('{')
  const close = object ? code('}') : code(']')
  let at = space(json, open + 1)
  let tail = open + 1
  let count = 0
  if (json[at] === close) return { end: at + 1, tail, count }
  for (;;) {
    const start = at
    let name = String(count)
    if (object) {
      const end = textEnd(json, at)
      name = nameOf(json, at, end)
      at = space(json, end)
      if (json[at] !== COLON) throw new Unreadable('a name has no value')
      at = space(json, at + 1)
    }
    const ended = each({ name, start, from: at, before: tail })
    tail = typeof ended === 'number' ? ended : yield* ended
    count++
    if (count % sliceItems === 0) yield
    at = space(json, tail)
    if (json[at] === close) return { end: at + 1, tail, count }
    if (json[at] !== COMMA) throw new Unreadable('a comma is missing')
    at = space(json, at + 1)
  }
}

function nameOf(json: Buffer, from: number, to: number): string {
  const text = json.toString('utf8', from + 1, to - 1)
  if (!text.includes('\\')) return text
  try {
    return String(JSON.parse(`"${text}"`))
  } catch {
    throw new Unreadable('a name holds an escape that there is not')
  }
}

export const isObject = (json: Buffer, at: number) => json[at] === code('{')
export const isList = (json: Buffer, at: number) => json[at] === code('[')

/** Where the one value of the body begins; nothing may come after it. */
export function begin(json: Buffer): number {
  return space(json, 0)
}

export function finish(json: Buffer, end: number): void {
  if (space(json, end) !== json.length) throw new Unreadable('something comes after its end')
}

/** The same, for whoever waits. */
export function* passed(json: Buffer, from: number): Sliced<number> {
  const end = valueEnd(json, from)
  return typeof end === 'number' ? end : yield* end
}

/** Does the work: at once where the body is small, else in stretches between which others have their turn. */
export function worked<T>(work: Sliced<T>, size: number): T | Unreadable | Promise<T | Unreadable> {
  const read = readably(work)
  if (size > atOnce) return inSlices(read, () => {})
  for (;;) {
    const { done, value } = read.next()
    if (done === true) return value
  }
}

function* readably<T>(work: Sliced<T>): Sliced<T | Unreadable> {
  try {
    return yield* work
  } catch (error) {
    if (error instanceof Unreadable) return error
    throw error
  }
}

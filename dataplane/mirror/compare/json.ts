import { segmentsOf } from '../../json/pointer.ts'
import type { Findings } from './findings.ts'
import { compareLabels } from './labels.ts'
import { sliceLength, type Sliced } from '../../sliced.ts'
import { apart, type Tolerance } from './tolerance.ts'

/** What of a value may differ, by the names on the way to it; `*` stands for every element of a list. */
export type Ignore = { whole: boolean; readonly inner: Map<string, Ignore> }

/** Deeper than any answer; what is below counts as equal where its text is. */
const depthMax = 64

export function ignoring(pointers: readonly string[]): Ignore {
  const root: Ignore = { whole: false, inner: new Map() }
  for (const pointer of pointers) {
    let node = root
    for (const name of segmentsOf(pointer)) {
      let next = node.inner.get(name)
      if (next === undefined) {
        next = { whole: false, inner: new Map() }
        node.inner.set(name, next)
      }
      node = next
    }
    node.whole = true
  }
  return root
}

export const within = (ignore: Ignore | undefined, name: string): Ignore | undefined => ignore?.inner.get(name) ?? ignore?.inner.get('*')

/** Two values out of JSON: members in any order, lists element by element, numbers within the tolerance. */
export function* compareJson(a: unknown, b: unknown, terms: Tolerance, ignore: Ignore | undefined, findings: Findings, place = '', depth = 0): Sliced {
  if (ignore?.whole === true) return
  if (Array.isArray(a) && Array.isArray(b)) {
    yield* compareLists(a, b, terms, ignore, findings, `${place}/*`, depth)
  } else if (isRecord(a) && isRecord(b)) {
    if (depth >= depthMax) {
      if (JSON.stringify(a) !== JSON.stringify(b)) findings.add(place, 'value')
      return
    }
    for (const [name, value] of Object.entries(a)) {
      const inner = within(ignore, name)
      if (inner?.whole === true) continue
      const here = `${place}/${shown(name)}`
      if (Object.hasOwn(b, name)) yield* compareJson(value, b[name], terms, inner, findings, here, depth + 1)
      else findings.add(here, 'missing')
    }
    for (const name of Object.keys(b)) if (!Object.hasOwn(a, name) && within(ignore, name)?.whole !== true) findings.add(`${place}/${shown(name)}`, 'extra')
  } else compareLeaves(a, b, terms, findings, place)
}

function* compareLists(
  a: readonly unknown[],
  b: readonly unknown[],
  terms: Tolerance,
  ignore: Ignore | undefined,
  findings: Findings,
  place: string,
  depth: number,
): Sliced {
  if (depth >= depthMax) {
    if (JSON.stringify(a) !== JSON.stringify(b)) findings.add(place, 'value')
    return
  }
  if (a.length !== b.length) findings.add(place, 'length')
  const length = Math.min(a.length, b.length)
  if (a.length === b.length && isVector(a) && isVector(b)) compareLabels(a, b, 0, length, findings)
  for (let at = 0; at < length; at++) {
    const [one, other] = [a[at], b[at]]
    const inner = ignore && within(ignore, String(at))
    if (inner?.whole === true) continue
    if (typeof one === 'object' && one !== null) yield* compareJson(one, other, terms, inner, findings, place, depth + 1)
    else compareLeaves(one, other, terms, findings, place)
    if (at % sliceLength === sliceLength - 1) yield
  }
  yield
}

function compareLeaves(a: unknown, b: unknown, terms: Tolerance, findings: Findings, place: string): void {
  if (typeof a === 'number' && typeof b === 'number') {
    const distance = apart(a, b, terms)
    if (distance !== 0) findings.add(place, 'value', distance)
  } else if (a !== b) findings.add(place, kindOf(a) === kindOf(b) ? 'value' : 'type')
}

/** `null`, `list` and `object` are different things. */
const kindOf = (value: unknown) => (value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value)

const isVector = (list: readonly unknown[]): list is readonly number[] => list.length > 1 && list.every((value) => typeof value === 'number')

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Names out of answers may say something about somebody: an address as a key, say. Those that look like names of fields are told. */
const shown = (name: string) => (/^[A-Za-z_][\w-]{0,63}$/.test(name) ? name : '*')

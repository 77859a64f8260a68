import { segmentsOf } from '../../json/pointer.ts'
import type { Canonical } from '../canonical.ts'

/** The text that is compared, and the request without it: of two requests that may have one answer, this is the same. */
export type Cut = Readonly<{ text: string; rest: Canonical }>

/** Longer ones are told apart by more than a vector of them holds. Characters. */
const textMax = 8_192
/** Stands where the text was; no JSON text is written like it. */
const hole = '?'

/**
 * Takes the text at a JSON Pointer out of a request. A list of chat messages stands for what its last message says, if
 * that is of the user: all that was said before is not similar to anything, but the same or not. Undefined: there is no
 * one text.
 */
export function cutText(value: Canonical, pointer: string): Cut | undefined {
  return cutAt(value, segmentsOf(pointer))
}

function cutAt(value: Canonical, [name, ...deeper]: readonly string[]): Cut | undefined {
  if (name === undefined) return cutHere(value)
  if (typeof value === 'string') return undefined
  if (isMembers(value)) {
    return cutMember(value, name, (inner) => cutAt(inner, deeper))
  }
  return /^(?:0|[1-9]\d{0,8})$/.test(name) ? cutItem(value, Number(name), (item) => cutAt(item, deeper)) : undefined
}

function cutHere(value: Canonical): Cut | undefined {
  if (typeof value === 'string') return said(value)
  if (isMembers(value)) return undefined
  const last = value.at(-1)
  if (last === undefined || typeof last === 'string' || !isMembers(last)) {
    return value.length === 1 ? cutItem(value, 0, (item) => typeof item === 'string' ? said(item) : undefined) : undefined
  }
  if (last.get('role') !== '"user"') return undefined
  return cutItem(value, value.length - 1, (message) => cutMember(message, 'content', (content) => typeof content === 'string' ? said(content) : cutParts(content)))
}

/** Of a message in parts, the one that is text. Pictures are the same or not. */
function cutParts(parts: Canonical): Cut | undefined {
  if (typeof parts === 'string' || isMembers(parts)) return undefined
  const texts = parts.flatMap((part, at) => typeof part !== 'string' && isMembers(part) && part.has('text') ? [at] : [])
  const [only] = texts
  return texts.length === 1 && only !== undefined ? cutItem(parts, only, (part) => cutMember(part, 'text', (text) => typeof text === 'string' ? said(text) : undefined)) : undefined
}

function cutMember(value: Canonical, name: string, cut: (inner: Canonical) => Cut | undefined): Cut | undefined {
  if (typeof value === 'string' || !isMembers(value)) return undefined
  const inner = value.get(name)
  const done = inner === undefined ? undefined : cut(inner)
  return done && { text: done.text, rest: new Map([...value, [name, done.rest]]) }
}

function cutItem(items: readonly Canonical[], at: number, cut: (item: Canonical) => Cut | undefined): Cut | undefined {
  const item = items[at]
  const done = item === undefined ? undefined : cut(item)
  return done && { text: done.text, rest: items.with(at, done.rest) }
}

function said(value: string): Cut | undefined {
  if (!value.startsWith('"') || value.length > textMax) return undefined
  const text = String(JSON.parse(value))
  return text.trim() === '' ? undefined : { text, rest: hole }
}

const isMembers = (value: Exclude<Canonical, string>): value is ReadonlyMap<string, Canonical> => value instanceof Map

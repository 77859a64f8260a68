import * as v from 'valibot'
import { differsIn } from '../../table/changes.ts'
import type { Update } from '../../table/messages.ts'
import type { Hashes } from '../../table/version.ts'
import { hashOf, versionOf } from '../../table/version.ts'
import type { Sliced } from '../sliced.ts'

/** Why an item is not in force, and the hash of its last good version, which is. */
export type Refused = Readonly<{ message: string; hash: string | undefined }>

/** One resource as this proxy holds it. Replaced, never changed. */
export type Held<T> = Readonly<{
  /** Of what the controller sent, refused items included. */
  hashes: Hashes
  /** In force: what was sent, or the last good version of what was refused. */
  items: ReadonlyMap<string, T>
  refused: ReadonlyMap<string, Refused>
  /** Null: nothing yet, or a table from disk that is not exactly what a controller published. */
  version: string | null
}>

export const NOTHING: Held<never> = {
  hashes: new Map(),
  items: new Map<string, never>(),
  refused: new Map(),
  version: null,
}

/** An item as it arrived, unchecked. */
export type Arrival = Readonly<{ value: unknown; hash: string }>

export type Change = Readonly<{
  /** What the change starts from; absent: it is the whole. */
  base?: string
  version: string
  upsert: readonly Arrival[]
  remove: readonly string[]
}>

/** Hashes what travelled, so that a lost or doubled update shows. */
export function* changeOf(message: Update): Sliced<Change> {
  const upsert: Arrival[] = []
  for (const value of message.type === 'snapshot' ? message.items : message.upsert) {
    upsert.push({ value, hash: hashOf(value) })
    yield
  }
  return message.type === 'snapshot'
    ? { version: message.version, upsert, remove: [] }
    : { version: message.version, base: message.base, upsert, remove: message.remove }
}

const MAX_MESSAGE = 500

/** Places and faults in one line, cut to what a status can carry. */
function faults(issues: readonly v.BaseIssue<unknown>[]): string {
  const told = issues.slice(0, 3).map((issue) => {
    const place = issue.path?.map((part) => String(part.key)).join('.')
    return place === undefined || place === '' ? issue.message : `${place}: ${issue.message}`
  })
  return told.join('; ').slice(0, MAX_MESSAGE)
}

function idOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('id' in value)) return undefined
  return typeof value.id === 'string' && value.id !== '' ? value.id : undefined
}

/** The hash of what is in force under that id. */
export function hashInForce(held: Held<unknown>, id: string): string | undefined {
  const refused = held.refused.get(id)
  return refused === undefined ? held.hashes.get(id) : refused.hash
}

/** The item is out, its last good version of `before` stays in; changes the three maps given. */
export function fallBack<T>(
  before: Held<T>,
  id: string,
  message: string,
  next: { items: Map<string, T>; refused: Map<string, Refused> },
): void {
  const last = before.items.get(id)
  if (last === undefined) next.items.delete(id)
  else next.items.set(id, last)
  next.refused.set(id, { message: message.slice(0, MAX_MESSAGE), hash: last && hashInForce(before, id) })
}

/** `quiet`: what is wrong with an item is not told in words, because they would quote it. */
export type Kind<T> = Readonly<{ schema: v.GenericSchema<unknown, T>; quiet: boolean }>

/** What is held after the change; or, as a string, why it does not fit and a snapshot is needed. */
export function* applied<T>(held: Held<T>, { schema, quiet }: Kind<T>, change: Change): Sliced<Held<T> | string> {
  const { base, version, upsert, remove } = change
  if (base !== undefined && base !== held.version) {
    return `the base is ${base}, but ${held.version ?? 'nothing'} is held`
  }
  const partial = base !== undefined
  const hashes = new Map(partial ? held.hashes : undefined)
  const items = new Map(partial ? held.items : undefined)
  const refused = new Map(partial ? held.refused : undefined)
  for (const id of remove) {
    hashes.delete(id)
    items.delete(id)
    refused.delete(id)
  }
  const seen = new Set<string>()
  for (const { value, hash } of upsert) {
    const id = idOf(value)
    if (id === undefined) return 'an item has no id'
    if (seen.has(id)) return `${id} is there twice`
    seen.add(id)
    hashes.set(id, hash)
    const before = held.items.get(id)
    if (before !== undefined && held.hashes.get(id) === hash && !held.refused.has(id)) {
      items.set(id, before)
      continue
    }
    yield
    const parsed = v.safeParse(schema, value)
    if (parsed.success) {
      items.set(id, parsed.output)
      refused.delete(id)
    } else {
      const why = quiet ? 'it does not have the form of its kind' : faults(parsed.issues)
      fallBack(held, id, why, { items, refused })
    }
  }
  if (partial) {
    const touched = new Set([...remove, ...seen])
    differsIn(hashes, held.hashes, touched)
    differsIn(items, held.items, touched)
  }
  const computed = versionOf(hashes, held.hashes)
  if (computed !== version) return `the version is ${version}, but what is held comes to ${computed}`
  return { hashes, items, refused, version }
}

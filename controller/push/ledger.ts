import { changedMap, differences } from '../../table/changes.ts'
import type { Text, Update } from '../../table/messages.ts'
import { SCHEMA } from '../../table/messages.ts'
import type { Resource } from '../../table/resources.ts'
import type { Hashes } from '../../table/version.ts'
import { hashOfText, versionOf } from '../../table/version.ts'

/** How many past versions a delta can start from, and an acknowledgement can be understood of. */
const KEPT_VERSIONS = 32

type Entry = Readonly<{ text: string; hash: string }>

/** An item is serialised and hashed once in its life, whichever fleets and versions it is part of. */
const entries = new WeakMap<object, Entry>()

function entryOf(item: object): Entry {
  let entry = entries.get(item)
  if (entry === undefined) {
    const text = JSON.stringify(item)
    entry = { text, hash: hashOfText(text) }
    entries.set(item, entry)
  }
  return entry
}

function hashIn(items: ReadonlyMap<string, object>, id: string): string | undefined {
  const item = items.get(id)
  return item && entryOf(item).hash
}

/** One resource of one fleet: what is published now, and the last versions of it by their hashes. */
export class Ledger {
  readonly resource: Resource
  hashes: Hashes = new Map()
  version = versionOf(this.hashes)
  #items: ReadonlyMap<string, object> = new Map()
  readonly #past = new Map<string, Hashes>([[this.version, this.hashes]])
  /** As long as somebody is being sent it: it is as large as all items together. */
  #snapshot: WeakRef<Buffer> | undefined
  readonly #deltas = new Map<string, Text<Update>>()

  constructor(resource: Resource) {
    this.resource = resource
  }

  /** Takes the items over; false when they are what was published already. */
  publish(items: ReadonlyMap<string, object>): boolean {
    if (items === this.#items) return false
    const hashes = changedMap(this.hashes, [...differences(this.#items, items)].map((id) => [id, hashIn(items, id)] as const))
    this.#items = items
    if (hashes === this.hashes) return false
    this.version = versionOf(hashes, this.hashes)
    this.hashes = hashes
    this.#past.delete(this.version)
    this.#past.set(this.version, hashes)
    for (const version of this.#past.keys()) {
      if (this.#past.size <= KEPT_VERSIONS) break
      this.#past.delete(version)
    }
    this.#snapshot = undefined
    this.#deltas.clear()
    return true
  }

  /** What that version held, or undefined when it is none of the last. */
  at(version: string): Hashes | undefined {
    return this.#past.get(version)
  }

  /** The whole, for proxies of which nothing is known; the same bytes for all of them. */
  snapshot(): Buffer {
    let snapshot = this.#snapshot?.deref()
    if (snapshot === undefined) {
      snapshot = Buffer.from(this.#encodeSnapshot())
      this.#snapshot = new WeakRef(snapshot)
    }
    return snapshot
  }

  /** What takes a proxy from a version, that held these hashes, to the present. */
  delta(base: string, held: Hashes): Text<Update> {
    let delta = this.#deltas.get(base)
    if (delta === undefined) {
      delta = this.#encodeDelta(base, held)
      this.#deltas.set(base, delta)
    }
    return delta
  }

  #encodeSnapshot(): Text<Update> {
    const items = [...this.#items.values()].map((item) => entryOf(item).text)
    return `${this.#head('snapshot')},"items":[${items.join(',')}]}`
  }

  #encodeDelta(base: string, held: Hashes): Text<Update> {
    const upsert: string[] = []
    const remove: string[] = []
    for (const id of differences(held, this.hashes)) {
      const item = this.#items.get(id)
      if (item === undefined && held.has(id)) remove.push(id)
      if (item !== undefined && held.get(id) !== this.hashes.get(id)) upsert.push(entryOf(item).text)
    }
    const change = `"base":${JSON.stringify(base)},"upsert":[${upsert.join(',')}],"remove":${JSON.stringify(remove)}`
    return `${this.#head('delta')},${change}}`
  }

  #head(type: 'snapshot' | 'delta'): string {
    return `{"type":"${type}","schema":${SCHEMA},"resource":"${this.resource}","version":"${this.version}"`
  }
}

import { sizeOf, type Entry } from './entry.ts'
import type { Near, Neighbour } from './semantic/near.ts'

/**
 * What is found under a key: an answer, another key that leads to it, which headers tell several answers apart, texts and the keys of
 * their answers, or which of these a text is like.
 */
export type Item =
  | Readonly<{ kind: 'entry'; entry: Entry }>
  | Readonly<{ kind: 'alias'; key: string }>
  | Readonly<{ kind: 'vary'; names: readonly string[] }>
  | Readonly<{ kind: 'near'; near: Near }>
  | Readonly<{ kind: 'like'; to: Neighbour }>

/** `older` and `newer` were asked for before it, and after. */
type Held = { readonly key: string; readonly item: Item; readonly size: number; older: Held | undefined; newer: Held | undefined }

/** What a key and its place take, in bytes: measured as entry.ts is. */
const perKey = 196

/**
 * Items by key, as many as their bytes allow: what was not asked for longest goes first. They know their neighbours: a
 * map keeps an order, too, but to find its first it walks over the places of all that were first before.
 */
export class Memory {
  readonly #items = new Map<string, Held>()
  #oldest: Held | undefined
  #newest: Held | undefined
  #max: number
  #bytes = 0
  #entries = 0
  evicted = 0

  constructor(max: number) {
    this.#max = max
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Answers, without what leads to them. */
  get entries(): number {
    return this.#entries
  }

  resize(max: number): void {
    this.#max = max
    this.#evict()
  }

  /** The same, and it is not asked for by that. */
  look(key: string): Item | undefined {
    return this.#items.get(key)?.item
  }

  get(key: string): Item | undefined {
    const held = this.#items.get(key)
    if (held === undefined) return undefined
    if (held !== this.#newest) {
      this.#unlink(held)
      this.#append(held)
    }
    return held.item
  }

  /** False: it is larger than all there may be. */
  set(key: string, item: Item): boolean {
    this.delete(key)
    const size = perKey + sizeOfItem(item)
    if (size > this.#max) return false
    const held: Held = { key, item, size, older: undefined, newer: undefined }
    this.#items.set(key, held)
    this.#append(held)
    if (item.kind === 'entry') this.#entries++
    this.#bytes += size
    this.#evict()
    return true
  }

  delete(key: string): void {
    const held = this.#items.get(key)
    if (held !== undefined) this.#drop(held)
  }

  #drop(held: Held): void {
    this.#items.delete(held.key)
    this.#unlink(held)
    this.#bytes -= held.size
    if (held.item.kind === 'entry') this.#entries--
  }

  #append(held: Held): void {
    held.older = this.#newest
    if (this.#newest === undefined) this.#oldest = held
    else this.#newest.newer = held
    this.#newest = held
  }

  #unlink(held: Held): void {
    const { older, newer } = held
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    held.older = held.newer = undefined
  }

  clear(): void {
    this.#items.clear()
    this.#oldest = this.#newest = undefined
    this.#bytes = 0
    this.#entries = 0
  }

  #evict(): void {
    while (this.#bytes > this.#max && this.#oldest !== undefined) {
      this.#drop(this.#oldest)
      this.evicted++
    }
  }
}

function sizeOfItem(item: Item): number {
  switch (item.kind) {
    case 'entry': return sizeOf(item.entry)
    case 'alias':
    case 'like': return 64
    case 'vary': return 120 + item.names.join().length
    default: return item.near.bytes
  }
}

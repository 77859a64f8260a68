import { sizeOf, type Entry } from './entry.ts'

/** What is found under a key: an answer, another key that leads to it, or which headers tell several answers apart. */
export type Item =
  | Readonly<{ kind: 'entry'; entry: Entry }>
  | Readonly<{ kind: 'alias'; key: string }>
  | Readonly<{ kind: 'vary'; names: readonly string[] }>

type Held = Readonly<{ item: Item; size: number }>

/** What a key and its place take, by estimate. Bytes. */
const perKey = 180

/** Items by key, as many as their bytes allow: what was not asked for longest goes first. */
export class Memory {
  readonly #items = new Map<string, Held>()
  #max: number
  #bytes = 0
  evicted = 0

  constructor(max: number) {
    this.#max = max
  }

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#items.size
  }

  resize(max: number): void {
    this.#max = max
    this.#evict()
  }

  get(key: string): Item | undefined {
    const held = this.#items.get(key)
    if (held === undefined) return undefined
    // Maps keep the order in which keys came.
    this.#items.delete(key)
    this.#items.set(key, held)
    return held.item
  }

  /** False: it is larger than all there may be. */
  set(key: string, item: Item): boolean {
    this.delete(key)
    const size = perKey + (item.kind === 'entry' ? sizeOf(item.entry) : item.kind === 'alias' ? 64 : 120 + item.names.join().length)
    if (size > this.#max) return false
    this.#items.set(key, { item, size })
    this.#bytes += size
    this.#evict()
    return true
  }

  delete(key: string): void {
    const held = this.#items.get(key)
    if (held === undefined) return
    this.#items.delete(key)
    this.#bytes -= held.size
  }

  clear(): void {
    this.#items.clear()
    this.#bytes = 0
  }

  #evict(): void {
    for (const [key, { size }] of this.#items) {
      if (this.#bytes <= this.#max) return
      this.#items.delete(key)
      this.#bytes -= size
      this.evicted++
    }
  }
}

import { agree } from './particulars.ts'

/** Numbers of all vectors of one partition: what is looked through in some tenths of a millisecond. */
const numbersMax = 2 ** 19

type Place = Readonly<{ key: string; words: readonly string[] }>

export type Neighbour = Readonly<{ key: string; similarity: number }>

/**
 * The texts of one partition as vectors of length 1, each with the key of its answer. All of them are compared, one after
 * the other: a partition holds what differs in nothing but a text, so it is small, and a graph of neighbours over a
 * thousand vectors costs more to build than it ever saves (decision 0008).
 */
export class Near {
  readonly dimensions: number
  readonly #places: Place[] = []
  #vectors: Float32Array
  /** Which place is the oldest, once all are taken. */
  #oldest = 0

  constructor(dimensions: number) {
    this.dimensions = dimensions
    this.#vectors = new Float32Array(dimensions)
  }

  /** What it takes in memory. */
  get bytes(): number {
    let bytes = this.#vectors.byteLength + 200
    for (const { words } of this.#places) bytes += 160 + words.length * 40
    return bytes
  }

  /** When it is full, the oldest goes. */
  add(key: string, words: readonly string[], vector: Float32Array): void {
    const max = Math.max(1, Math.floor(numbersMax / this.dimensions))
    let at = this.#places.findIndex((place) => place.key === key)
    if (at === -1) at = this.#places.length < max ? this.#places.length : this.#oldest++ % max
    if ((at + 1) * this.dimensions > this.#vectors.length) {
      const larger = new Float32Array(Math.min(max, at * 2) * this.dimensions)
      larger.set(this.#vectors)
      this.#vectors = larger
    }
    this.#places[at] = { key, words }
    this.#vectors.set(vector, at * this.dimensions)
  }

  /** The nearest of those that are at least so near, and whose words let them mean the same. Nearest first. */
  * around(vector: Float32Array, words: readonly string[], threshold: number): Generator<Neighbour> {
    const found: Neighbour[] = []
    const { dimensions } = this
    const vectors = this.#vectors
    for (const [at, place] of this.#places.entries()) {
      let similarity = 0
      for (let i = 0, j = at * dimensions; i < dimensions; i++, j++) similarity += (vector[i] ?? 0) * (vectors[j] ?? 0)
      if (similarity >= threshold && agree(words, place.words)) found.push({ key: place.key, similarity })
    }
    yield* found.toSorted((a, b) => b.similarity - a.similarity)
  }
}

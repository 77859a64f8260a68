/** What differs at one place. Never a value of either answer: only what kind of thing differs, and by how much. */
export type Difference = Readonly<{
  /** A JSON Pointer with `*` for the positions in lists, `status`, or the name of a tensor. */
  place: string
  kind: 'value' | 'type' | 'missing' | 'extra' | 'length' | 'shape' | 'datatype' | 'order' | 'text' | 'status' | 'bytes'
  /** How many values differ there. */
  count: number
  /** The largest distance of two numbers, null in JSON where one of them is not finite; absent where they are no numbers. */
  largest?: number
}>

/** Of vectors of numbers at the same place of both answers: where the largest number is, and the order of the five largest. */
export type Labels = Readonly<{ vectors: number; labelDiffers: number; topDiffers: number }>

/** Different places that are told of one comparison; what else differs is only counted. */
const placesMax = 16

/** Gathers what a comparison finds, in bounded space. */
export class Findings {
  readonly #places = new Map<string, { place: string; kind: Difference['kind']; count: number; largest: number | undefined }>()
  /** Values that differ, also at places that are not told. */
  count = 0
  vectors = 0
  labelDiffers = 0
  topDiffers = 0
  /** Of the texts that were compared, the least alike: 1 is the same. */
  similarity: number | undefined

  add(place: string, kind: Difference['kind'], largest?: number, count = 1): void {
    this.count += count
    const key = `${kind} ${place}`
    const found = this.#places.get(key)
    if (found !== undefined) {
      found.count += count
      if (largest !== undefined && largest > (found.largest ?? 0)) found.largest = largest
    } else if (this.#places.size < placesMax) this.#places.set(key, { place, kind, count, largest })
  }

  alike(similarity: number): void {
    this.similarity = Math.min(this.similarity ?? 1, similarity)
  }

  differences(): readonly Difference[] {
    return [...this.#places.values()].map(({ place, kind, count, largest }) => ({ place, kind, count, ...(largest !== undefined && { largest }) }))
  }

  labels(): Labels | undefined {
    const { vectors, labelDiffers, topDiffers } = this
    return vectors === 0 ? undefined : { vectors, labelDiffers, topDiffers }
  }
}

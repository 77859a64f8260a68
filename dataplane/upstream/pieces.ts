import type { BodySink } from '../pipeline/door.ts'

/** A body that is all there, in pieces that are not put together. */
export class Pieces {
  readonly #pieces: readonly Buffer[]
  #sink: BodySink | undefined
  #next = 0

  constructor(pieces: readonly Buffer[]) {
    this.#pieces = pieces
  }

  flow(sink: BodySink): void {
    this.#sink = sink
    this.resume()
  }

  resume(): void {
    while (this.#sink !== undefined && this.#next < this.#pieces.length) {
      const piece = this.#pieces[this.#next++]
      if (piece !== undefined && piece.length > 0 && !this.#sink.data(piece)) return
    }
    const sink = this.#sink
    this.#sink = undefined
    sink?.end()
  }
}

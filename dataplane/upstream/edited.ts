import { BadBody } from '../pipeline/body.ts'
import type { BodySink } from '../pipeline/door.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { BodyEditor } from '../protocols/edit/editor.ts'
import type { BodySource } from './dispatch.ts'

/** A body that is changed on its way to one try. */
export class EditedBody implements BodySource, BodySink {
  readonly #source: BodySource
  readonly #editor: BodyEditor
  readonly #bad: (why: Failure) => void
  #sink: BodySink | undefined
  /** What was changed and not taken yet. */
  #ready: Buffer[] = []
  /** A piece is being worked on, and what comes waits for that. */
  #waiting = false
  #paused = false
  #complete = false

  /** @param bad told of what is wrong with it, before who takes it hears that it ends */
  constructor(source: BodySource, editor: BodyEditor, bad: (why: Failure) => void) {
    this.#source = source
    this.#editor = editor
    this.#bad = bad
  }

  get copies(): boolean {
    return this.#sink?.copies ?? true
  }

  flow(sink: BodySink): void {
    this.#sink = sink
    this.#source.flow(this)
  }

  resume(): void {
    this.#paused = false
    if (this.#pour() && !this.#waiting && !this.#complete) this.#source.resume()
  }

  data(chunk: Buffer): boolean {
    const edited = this.#editor.take(chunk)
    if (!(edited instanceof Promise)) return this.#give(edited)
    this.#waiting = true
    void edited.then((pieces) => {
      this.#waiting = false
      if (this.#give(pieces) && !this.#complete) this.#source.resume()
    })
    return false
  }

  pending(): boolean {
    return this.#waiting || this.#ready.length > 0 || (this.#sink?.pending() ?? false)
  }

  end(): void {
    this.#complete = true
    if (!this.#waiting) this.#pour()
  }

  fail(error: Error): void {
    this.#ready = []
    const sink = this.#sink
    this.#sink = undefined
    sink?.fail(error)
  }

  #give(pieces: readonly Buffer[]): boolean {
    const { fault } = this.#editor
    if (fault !== undefined) {
      this.#refuse(fault)
      return false
    }
    this.#ready.push(...pieces)
    const all = this.#pour()
    // A piece is only lent to who copies.
    if (!all && this.copies) this.#ready = this.#ready.map((piece) => Buffer.from(piece))
    return all
  }

  /** Gives what is ready, and the end after it. @returns whether more may come */
  #pour(): boolean {
    while (!this.#paused && this.#ready.length > 0) {
      const piece = this.#ready.shift()
      if (piece !== undefined && piece.length > 0 && this.#sink?.data(piece) === false) this.#paused = true
    }
    if (this.#paused) return false
    if (this.#complete && !this.#waiting) this.#finish()
    return true
  }

  #finish(): void {
    const sink = this.#sink
    if (sink === undefined) return
    const rest = this.#editor.end()
    const { fault } = this.#editor
    if (fault !== undefined) {
      this.#refuse(fault)
      return
    }
    this.#sink = undefined
    for (const piece of rest) sink.data(piece)
    sink.end()
  }

  #refuse(fault: string): void {
    const why = failure('invalid_request', `The body ${fault}, so that its model cannot be changed.`)
    this.#bad(why)
    this.fail(new BadBody(why))
  }
}

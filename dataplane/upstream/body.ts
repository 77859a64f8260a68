import { BadBody } from '../pipeline/body.ts'
import type { BodySink, DoorRequest } from '../pipeline/door.ts'
import type { Failure } from '../pipeline/errors.ts'

/** Bodies up to this many bytes are gathered and sent in one piece; of larger ones nothing is held. */
export const gatherMax = 65_536

/** The request ended before its body was whole. */
export class ClientLeft extends Error {}

/** What may be kept of one body that is streamed, to send it again, and of all of them together. Bytes. */
const keepMax = 1_048_576
const keepMaxOfAll = 67_108_864
let keptOfAll = 0

/**
 * The request's body on its way to one try after the other. The request itself is not given away: a try that fails
 * lets go of it, and the client's connection is still there to be answered on.
 */
export class RequestBody {
  readonly #source: DoorRequest
  readonly #seen: (chunk: Buffer | undefined) => void
  readonly #bad: (why: Failure) => void
  #sink: BodySink | undefined
  /** What has gone to a try, for the next; undefined where that is not wanted, or too much. */
  #kept: Buffer[] | undefined
  #keptBytes = 0
  /** How many of the kept pieces the try in hand has. */
  #given = 0
  #begun = false
  /** The rest comes from the source. */
  #reading = false
  #complete = false
  #over = false
  readonly copies = false

  /** @param keep whether it may have to be sent again
   *  @param seen told of each piece once, and with undefined of the end
   *  @param bad told of what is wrong with it, where that comes out on the way */
  constructor(source: DoorRequest, keep: boolean, seen: (chunk: Buffer | undefined) => void, bad: (why: Failure) => void) {
    this.#bad = bad
    this.#source = source
    this.#seen = seen
    this.#kept = keep ? [] : undefined
  }

  /** Whether another try can have all of it: nothing has gone out yet, or what has is still here. */
  get repeatable(): boolean {
    return !this.#begun || this.#kept !== undefined
  }

  /** All of it, where it has come and was kept. */
  get whole(): Buffer | undefined {
    if (!this.#complete || this.#kept === undefined) return undefined
    if (this.#kept.length > 1) this.#kept = [Buffer.concat(this.#kept)]
    return this.#kept[0]
  }

  /** Begins, or begins again after `release`. */
  flow(sink: BodySink): void {
    if (this.#over) return
    this.#sink = sink
    this.#given = 0
    this.#begun = true
    this.resume()
  }

  resume(): void {
    while (this.#sink !== undefined && this.#kept !== undefined && this.#given < this.#kept.length) {
      const piece = this.#kept[this.#given++]
      if (piece !== undefined && !this.#sink.data(piece)) return
    }
    if (this.#over || this.#sink === undefined) return
    if (this.#complete) this.#finish()
    else if (this.#reading) this.#source.resume()
    else {
      this.#reading = true
      this.#source.read(this)
    }
  }

  /** The try in hand gets no more of it; what comes waits for the next. */
  release(): void {
    this.#sink = undefined
    this.#letGo()
  }

  /** Lets go of it, wherever it is. */
  destroy(): void {
    this.#over = true
    this.#sink = undefined
    this.#forget()
    this.#letGo()
  }

  #letGo(): void {
    if (this.#reading && !this.#complete) this.#source.release()
    this.#reading = false
  }

  #forget(): void {
    this.#kept = undefined
    keptOfAll -= this.#keptBytes
    this.#keptBytes = 0
  }

  #keep(chunk: Buffer): void {
    if (this.#kept === undefined) return
    this.#keptBytes += chunk.length
    keptOfAll += chunk.length
    if (this.#keptBytes > keepMax || keptOfAll > keepMaxOfAll) this.#forget()
    else {
      this.#kept.push(Buffer.from(chunk))
      this.#given = this.#kept.length
    }
  }

  data(chunk: Buffer): boolean {
    this.#seen(chunk)
    if (this.#over) return true
    this.#keep(chunk)
    return this.#sink?.data(chunk) ?? true
  }

  pending(): boolean {
    return this.#sink?.pending() ?? false
  }

  end(): void {
    this.#complete = true
    this.#seen(undefined)
    this.#finish()
  }

  #finish(): void {
    const sink = this.#sink
    this.#sink = undefined
    if (this.#kept === undefined) this.destroy()
    sink?.end()
  }

  fail(error: Error): void {
    if (this.#complete) return
    if (error instanceof BadBody) this.#bad(error.why)
    const sink = this.#sink
    this.#complete = true
    this.destroy()
    sink?.fail(new ClientLeft('the client left in the middle of the request body'))
  }
}

/** Calls back once the whole of a small body is there, in text with a byte for each character, or something is wrong with it; never, when the client leaves first. */
export function gatherBody(source: DoorRequest, length: number, done: (body: string) => void, bad: (why: Failure) => void): void {
  let body: Buffer | undefined
  let size = 0
  source.read({
    copies: true,
    data(chunk) {
      if (chunk.length === length) {
        done(chunk.toString('latin1'))
        return true
      }
      chunk.copy(body ??= Buffer.allocUnsafe(length), size)
      size += chunk.length
      if (size === length) done(body.toString('latin1'))
      return true
    },
    pending: () => false,
    end() {},
    fail(error) {
      if (error instanceof BadBody) bad(error.why)
    },
  })
}

import type { BodySink, DoorRequest } from '../pipeline/door.ts'
import type { Head } from './http1-head.ts'

/** Bytes of a body that are kept for whoever will ask for it; then no more is read. */
const heldMax = 65_536

/** What a request may do to the connection that it comes on. */
export type Tap = Readonly<{ remoteAddress: string; encrypted: boolean; pause(): void; resume(): void }>

/** A request of HTTP/1.1, and its body as it is read. */
export class Http1Request implements DoorRequest {
  readonly method: string
  readonly url: string
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
  /** All of it has been read. */
  complete = false
  /** Of the body. */
  bytesRead = 0
  readonly #tap: Tap
  #sink: BodySink | undefined
  #held: Buffer[] = none
  #heldSize = 0
  #paused = false
  #gone = false
  #due = false

  constructor({ method, url, httpVersion, rawHeaders }: Head, tap: Tap) {
    this.method = method
    this.url = url
    this.httpVersion = httpVersion
    this.rawHeaders = rawHeaders
    this.#tap = tap
  }

  get remoteAddress(): string {
    return this.#tap.remoteAddress
  }

  get encrypted(): boolean {
    return this.#tap.encrypted
  }

  /** More of the body is wanted than has come. */
  get waits(): boolean {
    return this.#sink !== undefined && !this.#paused && !this.complete
  }

  /** Its pieces go on as they come, and are not copied. */
  get streams(): boolean {
    return this.#sink?.copies === false
  }

  /** Bytes that came last are still in use. */
  get pending(): boolean {
    return this.#sink?.pending() ?? false
  }

  read(sink: BodySink): void {
    this.#sink = sink
    this.#paused = false
    if (this.complete || this.#gone || this.#heldSize > 0) this.#deliverSoon()
    else this.#tap.resume()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (this.#heldSize > 0 || this.complete) this.#deliverSoon()
    else this.#tap.resume()
  }

  release(): void {
    this.#sink = undefined
  }

  /** A piece of the body has come; it is lent. @param shared its memory is that of all connections */
  take(chunk: Buffer, shared: boolean): void {
    this.bytesRead += chunk.length
    if (this.#gone) return
    if (this.#sink !== undefined && !this.#paused && this.#heldSize === 0) {
      this.#give(this.#sink, shared && !this.#sink.copies ? Buffer.from(chunk) : chunk)
      return
    }
    if (this.#held === none) this.#held = []
    this.#held.push(Buffer.from(chunk))
    this.#heldSize += chunk.length
    if (this.#heldSize >= heldMax) this.#tap.pause()
  }

  /** The whole body has come. */
  finish(): void {
    this.complete = true
    if (this.#sink !== undefined && !this.#paused && this.#heldSize === 0) this.#end(this.#sink)
  }

  /** It will not come. */
  abort(): void {
    if (this.#gone) return
    this.#gone = true
    const sink = this.#sink
    this.#sink = undefined
    sink?.fail(new Error('the client left in the middle of the request body'))
  }

  #give(sink: BodySink, chunk: Buffer): void {
    if (sink.data(chunk)) return
    this.#paused = true
    this.#tap.pause()
  }

  #end(sink: BodySink): void {
    this.#sink = undefined
    sink.end()
  }

  #deliverSoon(): void {
    if (this.#due) return
    this.#due = true
    process.nextTick(deliver, this)
  }

  /** What was held, and then the rest from the connection. */
  deliver(): void {
    this.#due = false
    if (this.#gone) {
      const sink = this.#sink
      this.#sink = undefined
      if (sink !== undefined && !this.complete) sink.fail(new Error('the client has left'))
      return
    }
    while (this.#heldSize > 0 && this.#sink !== undefined && !this.#paused) {
      const chunk = this.#held.shift()
      if (chunk === undefined) break
      this.#heldSize -= chunk.length
      this.#give(this.#sink, chunk)
    }
    if (this.#sink === undefined || this.#paused || this.#heldSize > 0) return
    if (this.complete) this.#end(this.#sink)
    else this.#tap.resume()
  }
}

const none: Buffer[] = []
const deliver = (request: Http1Request): void => request.deliver()

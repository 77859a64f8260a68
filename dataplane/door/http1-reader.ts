import type { BodyLength } from '../pipeline/exchange.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import { known, Kind } from '../pipeline/headers.ts'
import { beginsWith, bytesOf } from '../protocols/again.ts'
import { hexadecimal, sizeDigitsMax, sizeLineMax } from '../protocols/chunks.ts'
import { headBytesMax, parseHead, parseLines, type Head } from './http1-head.ts'

/** What was sent is no request, or not the body that its head had announced. Nothing after it can be trusted. */
export class BadRequest extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(failure.detail)
    this.failure = failure
  }
}

/** Who gets the requests. A piece of a body is only lent: its bytes change after the call. */
export type RequestSink = Readonly<{
  /** Says how the body is framed. One that came with the same bytes as the one before is the same object. */
  head(head: Head): BodyLength
  data(chunk: Buffer): void
  end(): void
}>

/** Characters of a head that is kept to compare the next with: many clients say the same again and again. */
const rememberedMax = 2048
/** Its extensions are names, alone or with a word or a quoted text (RFC 9112 section 7.1.1). */
const sizeLine = /^(?<digits>[0-9A-Fa-f]{1,12})(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"[\t\x20\x21\x23-\x5b\x5d-\x7e]*"))?)*$/

/** What can become no request is not waited for: a line that is not ended by CR LF, a beginning that is no method. */
const misbroken = /[^\r]\n|\r[^\n]/
const begin = /^(?:\r|[A-Z-]{0,20}(?: |$))/

const Reading = { head: 0, length: 1, chunkSize: 2, chunk: 3, chunkEnd: 4, trailers: 5, done: 6 } as const
type Reading = (typeof Reading)[keyof typeof Reading]

const invalid = () => new BadRequest(failure('invalid_request', 'The request is not valid HTTP.'))
const tooLarge = () => new BadRequest(failure('headers_too_large', `The head of the request has more than ${headBytesMax} bytes.`))

/**
 * Reads one request after the other as they come, in pieces of any size (RFC 9112). Whatever somebody else could frame
 * in another way is refused by throwing BadRequest. What it takes, Node's own parser takes too, and reads alike.
 */
export class RequestReader {
  readonly #sink: RequestSink
  #reading: Reading = Reading.head
  /** Bytes of the body, or of the chunk, still to come. */
  #left = 0
  /** Of the request before. `bytes`: of one that came again, with its end. */
  #last: { readonly text: string; readonly head: Head; bytes: Buffer | undefined } | undefined
  /** The beginning of a head or line whose end has not come. */
  #held = ''

  constructor(sink: RequestSink) {
    this.#sink = sink
  }

  /** A request is whole, and the next one is not looked at before `next`. */
  get done(): boolean {
    return this.#reading === Reading.done
  }

  /** Between two requests, nothing of the next one has come. */
  get idle(): boolean {
    return this.#reading === Reading.head && this.#held === ''
  }

  /** In the head of a request. */
  get inHead(): boolean {
    return this.#reading === Reading.head
  }

  next(): void {
    this.#reading = Reading.head
  }

  /** Takes what has come, from `at` on, to the end of a request at most. @returns where it stopped */
  take(bytes: Buffer, from: number): number {
    let at = from
    const { length } = bytes
    while (at < length && this.#reading !== Reading.done) {
      switch (this.#reading) {
        case Reading.head:
          at = this.#readHead(bytes, at)
          break
        case Reading.length:
        case Reading.chunk: {
          const end = Math.min(length, at + this.#left)
          this.#left -= end - at
          if (this.#left === 0) this.#reading = this.#reading === Reading.chunk ? Reading.chunkEnd : Reading.done
          this.#sink.data(at === 0 && end === length ? bytes : bytes.subarray(at, end))
          at = end
          // Told apart here, because a sink may not be told of an end twice.
          if (this.#left === 0 && this.#isDone()) this.#sink.end()
          break
        }
        case Reading.chunkSize:
          at = this.#readSize(bytes, at)
          break
        case Reading.chunkEnd:
          if (bytes[at] !== (this.#left === 0 ? 13 : 10)) throw invalid()
          at++
          if (this.#left-- < 0) this.#reading = Reading.chunkSize
          break
        default:
          at = this.#readTrailers(bytes, at)
      }
    }
    return at
  }

  #isDone(): boolean {
    return this.#reading === Reading.done
  }

  #readHead(bytes: Buffer, from: number): number {
    let start = from
    // An empty line before a request is what an old client sent too much after the one before (RFC 9112 section 2.2).
    if (this.#held === '\r' && bytes[start] === 10) {
      this.#held = ''
      start++
    }
    if (this.#held === '') while (bytes[start] === 13 && bytes[start + 1] === 10) start += 2
    const last = this.#last
    if (last?.bytes !== undefined && this.#held === '' && beginsWith(bytes, start, last.bytes)) return this.#begin(last.head, start + last.bytes.length)
    const head = this.#upTo('\r\n\r\n', bytes, start, headBytesMax, tooLarge)
    if (head === undefined) return bytes.length
    const { text, next } = head
    if (last?.text === text) {
      last.bytes ??= bytesOf(`${text}\r\n\r\n`)
      return this.#begin(last.head, next)
    }
    const parsed = parseHead(text)
    if (parsed === undefined) throw invalid()
    this.#last = text.length <= rememberedMax ? { text, head: parsed, bytes: undefined } : undefined
    return this.#begin(parsed, next)
  }

  #begin(head: Head, next: number): number {
    const length = this.#sink.head(head)
    this.#left = length === 'chunked' ? 0 : length
    this.#reading = length === 'chunked' ? Reading.chunkSize : length === 0 ? Reading.done : Reading.length
    if (length === 0) this.#sink.end()
    return next
  }

  /** Up to and with the mark, together with what was held; undefined while it has not come. */
  #upTo(mark: string, bytes: Buffer, from: number, max: number, overflow: () => BadRequest): { text: string; next: number } | undefined {
    if (this.#held === '') {
      const end = bytes.indexOf(mark, from, 'latin1')
      if (end !== -1 && end - from <= max) return { text: bytes.toString('latin1', from, end), next: end + mark.length }
    }
    const before = this.#held.length
    const text = this.#held + bytes.toString('latin1', from, Math.min(bytes.length, from + max + mark.length - before))
    const end = text.indexOf(mark, Math.max(0, before - mark.length))
    if (end === -1 || end > max) {
      if (text.length >= max + mark.length) throw overflow()
      if (misbroken.test(before === 0 ? text : text.slice(before - 1)) || text.startsWith('\n') || (this.inHead && !begin.test(text))) throw invalid()
      this.#held = text
      return undefined
    }
    this.#held = ''
    return { text: text.slice(0, end), next: from + end + mark.length - before }
  }

  #readSize(bytes: Buffer, from: number): number {
    let size = 0
    let at = from
    for (let digit = hexadecimal(bytes[at]); digit !== -1 && at - from < sizeDigitsMax; digit = hexadecimal(bytes[++at])) size = size * 16 + digit
    if (this.#held === '' && at > from && size > 0 && bytes[at] === 13 && bytes[at + 1] === 10) {
      this.#left = size
      this.#reading = Reading.chunk
      return at + 2
    }
    return this.#readSizeLine(bytes, from)
  }

  /** One that has an extension, is the last, or has not come as a whole. */
  #readSizeLine(bytes: Buffer, from: number): number {
    const line = this.#upTo('\r\n', bytes, from, sizeLineMax, invalid)
    if (line === undefined) return bytes.length
    const size = sizeLine.exec(line.text)?.groups?.['digits']
    if (size === undefined) throw invalid()
    this.#left = Number.parseInt(size, 16)
    this.#reading = this.#left === 0 ? Reading.trailers : Reading.chunk
    // Every trailer is a line, and so is what comes before the empty one.
    if (this.#left === 0) this.#held = '\r\n'
    return line.next
  }

  #readTrailers(bytes: Buffer, from: number): number {
    const rest = this.#upTo('\r\n\r\n', bytes, from, headBytesMax, tooLarge)
    if (rest === undefined) return bytes.length
    const lines = rest.text === '' ? [] : parseLines(rest.text, 2)
    if (lines === undefined || framed(lines)) throw invalid()
    this.#reading = Reading.done
    this.#sink.end()
    return rest.next
  }
}

/** Somebody might take the framing of the body from what comes behind it. */
function framed(lines: readonly string[]): boolean {
  for (let i = 0; i < lines.length; i += 2) {
    const { kind } = known(lines[i] ?? '')
    if (kind === Kind.contentLength || kind === Kind.transferEncoding || kind === Kind.lookalike) return true
  }
  return false
}

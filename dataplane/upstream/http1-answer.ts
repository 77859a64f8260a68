import { beginsWith, bytesOf } from '../protocols/again.ts'
import { hexadecimal, sizeDigitsMax, sizeLineMax } from '../protocols/chunks.ts'
import { BadAnswer, impure, linesOf, parseHead, type AnswerHead } from './http1-answer-head.ts'

/** Who gets the answer. A piece of the body is only lent: its bytes change after the call. */
export type AnswerSink = Readonly<{
  head(status: number, rawHeaders: readonly string[]): void
  data(chunk: Buffer): void
  end(rawTrailers: readonly string[]): void
}>

/** Bytes of a head, or of the trailers. */
const headMax = 16_384
/** 1xx answers before the one that was asked for. */
const interimMax = 100

const Reading = { head: 0, length: 1, untilClose: 2, chunkSize: 3, chunk: 4, chunkEnd: 5, trailers: 6, done: 7 } as const
type Reading = (typeof Reading)[keyof typeof Reading]

/**
 * Reads one answer after the other as it comes, in pieces of any size (RFC 9112). Whatever could be framed in another
 * way by somebody else is refused by throwing BadAnswer: then the connection must be closed.
 */
export class AnswerReader {
  #sink: AnswerSink | undefined
  #reading: Reading = Reading.done
  #bodyless = false
  /** Bytes of the body, or of the chunk, still to come. */
  #left = 0
  /** The beginning of a head or line whose end has not come. */
  #held = ''
  #interim = 0
  /** Of the answer before. */
  #last: AnswerHead | undefined
  /** The same as it came, with its end, where it came again. */
  #lastBytes: Buffer | undefined
  /** Milliseconds that the backend keeps the connection by its own account, 0 for not at all; undefined: it does not say. */
  keeps: number | undefined
  /** Any byte of the answer has come. */
  begun = false

  /** Expects the answer to a request. */
  expect(sink: AnswerSink, method: string): void {
    this.#sink = sink
    this.#reading = Reading.head
    this.#bodyless = method === 'HEAD'
    this.#held = ''
    this.#interim = 0
    this.keeps = undefined
    this.begun = false
  }

  get done(): boolean {
    return this.#reading === Reading.done
  }

  /** The connection was closed by the backend: whether that is the end of the answer. */
  close(): boolean {
    if (this.#reading !== Reading.untilClose) return false
    this.#end([])
    return true
  }

  /** Takes what has come. */
  take(bytes: Buffer): void {
    this.begun = true
    let at = 0
    const { length } = bytes
    while (at < length) {
      switch (this.#reading) {
        case Reading.head:
          at = this.#readHead(bytes, at)
          break
        case Reading.length:
        case Reading.chunk: {
          const end = Math.min(length, at + this.#left)
          this.#left -= end - at
          const over = this.#left === 0
          if (over) this.#reading = this.#reading === Reading.chunk ? Reading.chunkEnd : Reading.done
          this.#sink?.data(at === 0 && end === length ? bytes : bytes.subarray(at, end))
          at = end
          if (over && this.#reading === Reading.done) this.#end([])
          break
        }
        case Reading.untilClose:
          this.#sink?.data(at === 0 ? bytes : bytes.subarray(at))
          return
        case Reading.chunkSize:
          at = this.#readSize(bytes, at)
          break
        case Reading.chunkEnd:
          if (bytes[at] !== (this.#left === 0 ? 13 : 10)) throw new BadAnswer('a chunk is not as long as it says')
          at++
          if (this.#left-- < 0) this.#reading = Reading.chunkSize
          break
        case Reading.trailers:
          at = this.#readTrailers(bytes, at)
          break
        default:
          throw new BadAnswer('the backend sent more than its answer')
      }
    }
  }

  #end(trailers: readonly string[]): void {
    this.#reading = Reading.done
    const sink = this.#sink
    this.#sink = undefined
    sink?.end(trailers)
  }

  /** Up to and with the mark, together with what was held; undefined while it has not come. */
  #upTo(mark: string, bytes: Buffer, from: number, max: number): { text: string; next: number } | undefined {
    if (this.#held === '') {
      const end = bytes.indexOf(mark, from, 'latin1')
      if (end !== -1 && end - from <= max) return { text: bytes.toString('latin1', from, end), next: end + mark.length }
    }
    const before = this.#held.length
    const text = this.#held + bytes.toString('latin1', from, Math.min(bytes.length, from + max + mark.length - before))
    const end = text.indexOf(mark, Math.max(0, before - mark.length))
    if (end === -1) {
      if (text.length >= max) throw new BadAnswer('the head of the answer is too large')
      this.#held = text
      return undefined
    }
    this.#held = ''
    return { text: text.slice(0, end), next: from + end + mark.length - before }
  }

  #readHead(bytes: Buffer, from: number): number {
    const last = this.#last
    if (last !== undefined && this.#lastBytes !== undefined && this.#held === '' && beginsWith(bytes, from, this.#lastBytes)) {
      return this.#begin(last, from + this.#lastBytes.length)
    }
    const found = this.#upTo('\r\n\r\n', bytes, from, headMax)
    if (found === undefined) return bytes.length
    const { text, next } = found
    // A backend's answers begin alike, within a second or for ever.
    if (last?.text === text) {
      this.#lastBytes ??= bytesOf(`${text}\r\n\r\n`)
      return this.#begin(last, next)
    }
    const head = parseHead(text)
    if (head.status < 200) {
      if (++this.#interim > interimMax) throw new BadAnswer('too many interim answers')
      return next
    }
    this.#last = head.repeats ? head : undefined
    this.#lastBytes = undefined
    return this.#begin(head, next)
  }

  #begin({ status, headers, chunked, length, keeps }: AnswerHead, next: number): number {
    this.keeps = keeps
    this.#left = length ?? 0
    this.#reading = chunked ? Reading.chunkSize : length === undefined ? Reading.untilClose : Reading.length
    const bodyless = this.#bodyless || status === 204 || status === 304 || length === 0
    if (bodyless) this.#reading = Reading.done
    this.#sink?.head(status, headers)
    if (bodyless) this.#end([])
    return next
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
    const line = this.#upTo('\r\n', bytes, from, sizeLineMax)
    if (line === undefined) return bytes.length
    const { text, next } = line
    const extension = text.indexOf(';')
    const digits = extension === -1 ? text : text.slice(0, extension).trimEnd()
    if (digits.length > sizeDigitsMax || !/^[0-9A-Fa-f]+$/.test(digits) || impure.test(text)) throw new BadAnswer('the size of a chunk is not a number')
    this.#left = Number.parseInt(digits, 16)
    this.#reading = this.#left === 0 ? Reading.trailers : Reading.chunk
    // Every trailer is a line, and so is what comes before the empty one.
    if (this.#left === 0) this.#held = '\r\n'
    return next
  }

  #readTrailers(bytes: Buffer, from: number): number {
    const rest = this.#upTo('\r\n\r\n', bytes, from, headMax)
    if (rest === undefined) return bytes.length
    if (impure.test(rest.text)) throw new BadAnswer('a trailer holds what no trailer may hold')
    this.#end(rest.text === '' ? [] : linesOf(rest.text, 2))
    return rest.next
  }
}

import type { Failure } from '../pipeline/errors.ts'
import { failure } from '../pipeline/errors.ts'
import type { Stage } from '../pipeline/exchange.ts'
import { known, removeHeaders, valueOf } from '../pipeline/headers.ts'
import { isPlain } from '../protocols/encodings.ts'
import { endOfEvent, eventMax, lastEnd } from '../protocols/sse.ts'
import type { AnswerHandler, Controller } from '../upstream/dispatch.ts'

/** Changes the JSON of one event, or says why it may not go out. */
export type ChangeEvent = (json: Buffer) => Buffer | Failure

/** Streams whose parts are JSON: events (text/event-stream), and lines. */
export type Parts = 'events' | 'lines'

export function partsOf(contentType: string | undefined): Parts | undefined {
  if (contentType?.startsWith('text/event-stream') === true) return 'events'
  return contentType?.startsWith('application/x-ndjson') === true || contentType?.startsWith('application/jsonl') === true ? 'lines' : undefined
}

type ChangeFor = (status: number, headers: readonly string[]) => ChangeEvent | undefined

/**
 * Changes an answer event by event, as it comes; one that is no stream passes as it is. @param mode watch: an event that
 * is too large to be read passes, and all that come after it
 */
export function eachEvent(changeFor: ChangeFor, mode: 'change' | 'watch' = 'change'): Stage {
  return (to, refuse) => new Events(to, refuse, changeFor, mode)
}

class Events implements AnswerHandler {
  readonly #to: AnswerHandler
  readonly #refuse: (why: Failure, cause: string) => void
  readonly #changeFor: ChangeFor
  readonly #mode: 'change' | 'watch'
  #parts: Parts | undefined
  #change: ChangeEvent | undefined
  /** What has come of an event that is not whole. */
  #held: Buffer = nothing
  #over = false

  constructor(to: AnswerHandler, refuse: (why: Failure, cause: string) => void, changeFor: ChangeFor, mode: 'change' | 'watch') {
    this.#to = to
    this.#refuse = refuse
    this.#changeFor = changeFor
    this.#mode = mode
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    const headers = rawHeaders.map((text, at) => (at % 2 === 0 ? known(text).name : text))
    this.#parts = partsOf(valueOf(headers, 'content-type'))
    this.#change = this.#parts && this.#changeFor(status, headers)
    if (this.#change === undefined) {
      this.#to.onResponseStart(controller, status, rawHeaders)
      return
    }
    if (!isPlain(valueOf(headers, 'content-encoding'))) {
      this.#end(packed, 'content-encoding of a stream')
      return
    }
    removeHeaders(headers, (name) => name === 'content-length')
    this.#to.onResponseStart(controller, status, headers)
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#change === undefined) this.#to.onResponseData(controller, chunk)
    else if (!this.#over) {
      const all = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
      const end = this.#parts === 'events' ? lastEnd(all) : all.lastIndexOf(0x0a) + 1
      // It is only lent.
      this.#held = Buffer.from(all.subarray(end))
      if (this.#held.length > eventMax && this.#mode === 'change') this.#end(tooLarge, '')
      else if (end > 0) this.#give(controller, all.subarray(0, end))
      if (this.#held.length <= eventMax || this.#over) return
      this.#change = undefined
      this.#to.onResponseData(controller, this.#held)
    }
  }

  onResponseFlush(): boolean {
    return this.#to.onResponseFlush()
  }

  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void {
    if (this.#change !== undefined && !this.#over && this.#held.length > 0) this.#give(controller, this.#held)
    if (!this.#over) this.#to.onResponseEnd(controller, rawTrailers)
  }

  onResponseError(error: Error): void {
    if (!this.#over) this.#to.onResponseError(error)
    this.#over = true
  }

  /** Whole events, one after the other. */
  #give(controller: Controller, whole: Buffer): void {
    const pieces: Buffer[] = []
    for (let at = 0; at < whole.length;) {
      const next = this.#parts === 'events' ? endOfEvent(whole, at) : endOfLine(whole, at)
      const piece = this.#parts === 'events' ? this.#event(whole.subarray(at, next)) : this.#line(whole.subarray(at, next))
      if ('code' in piece) {
        this.#end(piece, piece.cause ?? '')
        return
      }
      pieces.push(piece)
      at = next
    }
    this.#to.onResponseData(controller, pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces))
  }

  #line(line: Buffer): Buffer | Failure {
    const text = line.toString().trimEnd()
    if (text === '') return line
    const changed = this.#change?.(Buffer.from(text)) ?? line
    return 'code' in changed ? changed : Buffer.concat([changed, newline])
  }

  /** An event's data are its `data` lines, joined by newlines (HTML, Server-sent events). */
  #event(event: Buffer): Buffer | Failure {
    const lines = event.toString().split(/\r\n|\n|\r/)
    const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(line[5] === ' ' ? 6 : 5))
    const text = data.join('\n').trim()
    if (!/^[[{]/.test(text) || text === '[DONE]') return event
    const json = Buffer.from(text)
    const changed = this.#change?.(json) ?? json
    if ('code' in changed) return changed
    if (changed === json) return event
    const others = lines.filter((line) => line !== '' && !line.startsWith('data:'))
    const said = changed.toString().split('\n').map((line) => `data: ${line}`)
    return Buffer.from(`${[...others, ...said].join('\n')}\n\n`)
  }

  #end(why: Failure, cause: string): void {
    this.#over = true
    this.#held = nothing
    this.#refuse(why, cause)
  }
}

const nothing = Buffer.alloc(0)
const newline = Buffer.from('\n')

function endOfLine(bytes: Buffer, from: number): number {
  const at = bytes.indexOf(0x0a, from)
  return at === -1 ? bytes.length : at + 1
}

const packed = failure('upstream_protocol', 'The answer of the backend is packed in a way that cannot be read here.')
const tooLarge = failure('response_too_large', 'An event of the answer is larger than what is read here.')

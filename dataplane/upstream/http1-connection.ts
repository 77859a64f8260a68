import type { Socket } from 'node:net'
import { ConnectionLost, type Controller, type Handler, type Sent } from './dispatch.ts'
import { BadAnswer } from './http1-answer-head.ts'
import { AnswerReader } from './http1-answer.ts'
import { isChunked, requestHead } from './http1-request.ts'

/** Bodies up to this many bytes go out in one piece with their head. */
const joinMax = 16_384

/** One connection to a backend: one request at a time. `free` is called whenever it can have the next. */
export class Connection {
  readonly #socket: Socket
  readonly #reader = new AnswerReader()
  readonly #host: string
  readonly #free: (connection: Connection) => void
  #call: Call | undefined
  #answers = 0
  /** `performance.now()` until which it may be used again. */
  usableUntil = Number.POSITIVE_INFINITY

  constructor(socket: Socket, host: string, free: (connection: Connection) => void, closed: (connection: Connection) => void) {
    this.#socket = socket
    this.#host = host
    this.#free = free
    socket.on('end', () => this.#lose('the backend closed the connection', true))
    socket.on('error', (error) => this.#lose(error.message))
    socket.once('close', () => {
      this.#lose('the connection was closed')
      closed(this)
    })
    socket.on('drain', () => this.#call?.drained())
  }

  get alive(): boolean {
    return !this.#socket.destroyed && this.#socket.writable
  }

  send(sent: Sent, handler: Handler): void {
    const call = new Call(this.#socket, handler)
    this.#call = call
    handler.onRequestStart(call)
    if (call.over) {
      // Nothing of it was sent.
      if (!this.#socket.destroyed) this.#rest(Number.POSITIVE_INFINITY, performance.now())
      return
    }
    const head = requestHead(sent, this.#host)
    if (typeof head !== 'string') {
      this.#call = undefined
      call.fail(head)
      this.#rest(Number.POSITIVE_INFINITY, performance.now())
      return
    }
    this.#reader.expect(call, sent.method)
    const { body } = sent
    if (body === null) this.#socket.write(head, 'latin1')
    else if (typeof body === 'string') this.#socket.write(head + body, 'latin1')
    else if (!Buffer.isBuffer(body)) {
      this.#socket.write(head, 'latin1')
      call.stream(body, isChunked(head))
      return
    } else if (body.length <= joinMax) this.#socket.write(head + body.toString('latin1'), 'latin1')
    else {
      this.#socket.cork()
      this.#socket.write(head, 'latin1')
      this.#socket.write(body)
      this.#socket.uncork()
    }
    call.sent = true
    handler.onRequestSent()
  }

  /** Takes what has come. True: the bytes are still needed after it. */
  take(bytes: Buffer): boolean {
    const call = this.#call
    if (call === undefined) {
      // What nobody asked for would be the answer to whatever is asked next.
      this.#socket.destroy()
      return false
    }
    try {
      this.#reader.take(bytes)
    } catch (error) {
      if (!(error instanceof BadAnswer)) throw error
      this.#call = undefined
      this.#socket.destroy()
      call.fail(error)
      return false
    }
    const kept = call.flush()
    // Not before every byte has been looked at: what is left over must not meet the next request.
    if (this.#reader.done && !this.#socket.destroyed) this.#finish(call)
    return kept
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #finish(call: Call): void {
    this.#answers++
    const { keeps } = this.#reader
    // A backend that answers before it has read the request would take the rest of it for the next one.
    if (!call.sent || keeps === 0) {
      this.#call = undefined
      this.#socket.destroy()
    } else this.#rest(keeps ?? idleDefault, call.endedAt)
  }

  #rest(idle: number, now: number): void {
    this.#call = undefined
    this.usableUntil = now + Math.min(idle, idleMax)
    if (this.#socket.isPaused()) this.#socket.resume()
    this.#free(this)
  }

  /** @param ended by the backend and in order, which is the end of an answer without a length */
  #lose(why: string, ended = false): void {
    const call = this.#call
    this.#call = undefined
    const whole = ended && call !== undefined && !call.over && this.#reader.close()
    this.#socket.destroy()
    if (call !== undefined && !whole) call.fail(call.reason ?? new ConnectionLost(why, this.#answers > 0 && !this.#reader.begun))
  }
}

/** Below the 5 s after which common servers (Node, uvicorn) close an idle connection. Milliseconds. */
const idleDefault = 4000
const idleMax = 600_000

/** One request on a connection, and its answer's sink. */
class Call implements Controller {
  readonly #socket: Socket
  readonly #handler: Handler
  #body: { drain(): void } | undefined
  over = false
  sent = false
  reason: Error | undefined

  constructor(socket: Socket, handler: Handler) {
    this.#socket = socket
    this.#handler = handler
  }

  stream(body: Exclude<Sent['body'], Buffer | string | null>, chunked: boolean): void {
    const socket = this.#socket
    this.#body = { drain: () => body.resume() }
    body.flow({
      copies: false,
      pending: () => !this.over && socket.writableLength > 0,
      data: (chunk) => {
        if (this.over) return true
        if (!chunked) return socket.write(chunk)
        socket.cork()
        socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
        socket.write(chunk)
        const more = socket.write('\r\n', 'latin1')
        socket.uncork()
        return more
      },
      end: () => {
        if (this.over) return
        if (chunked) socket.write('0\r\n\r\n', 'latin1')
        this.sent = true
        this.#handler.onRequestSent()
      },
      fail: (error) => this.abort(error),
    })
  }

  drained(): void {
    this.#body?.drain()
  }

  flush(): boolean {
    return this.#handler.onResponseFlush()
  }

  /** `performance.now()` of the end of its answer. */
  get endedAt(): number {
    return this.#handler.endedAt ?? performance.now()
  }

  head(status: number, rawHeaders: readonly string[]): void {
    if (!this.over) this.#handler.onResponseStart(this, status, rawHeaders)
  }

  data(chunk: Buffer): void {
    if (!this.over) this.#handler.onResponseData(this, chunk)
  }

  end(rawTrailers: readonly string[]): void {
    if (this.over) return
    this.over = true
    this.#handler.onResponseEnd(this, rawTrailers)
  }

  fail(error: Error): void {
    if (this.over) return
    this.over = true
    this.#handler.onResponseError(error)
  }

  pause(): void {
    if (!this.over) this.#socket.pause()
  }

  resume(): void {
    if (!this.over) this.#socket.resume()
  }

  abort(reason: Error): void {
    if (this.over) return
    this.reason = reason
    this.over = true
    if (this.sent || this.#body !== undefined) this.#socket.destroy()
    this.#handler.onResponseError(reason)
  }
}

import { EventEmitter } from 'node:events'
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { validateHeaderName, validateHeaderValue } from '../http.ts'
import type { DoorResponse } from '../pipeline/door.ts'
import type { Http2Request } from './http2-request.ts'

const { NGHTTP2_NO_ERROR } = constants

/** A stream's response. Headers go out with the first byte of the body, or with `flushHeaders`, or with the end. */
export class Http2Response extends EventEmitter implements DoorResponse {
  readonly plain = false
  readonly chunks = false
  /** What was given is the stream's until it has gone. */
  readonly pending = true
  statusCode = 200
  witness: DoorResponse['witness'] = undefined
  /** The connection outlives the answer whatever it says: a drain ends it with a GOAWAY. */
  shouldKeepAlive = true
  readonly #stream: ServerHttp2Stream
  #headers: OutgoingHttpHeaders | undefined
  #trailers: OutgoingHttpHeaders | undefined
  /** Where the length was told, nothing can follow the body. */
  #sized = false
  #ended = false
  #broken = false
  #written = 0
  /** Pieces that have not gone yet, and who waits for that. */
  #under = 0
  #gone: (() => void) | undefined

  constructor(request: Http2Request) {
    super()
    const { stream } = request
    this.#stream = stream
    stream.on('error', ignore)
    stream.on('drain', () => this.emit('drain'))
    stream.once('close', () => this.emit('close'))
    stream.once('wantTrailers', () => this.#sendTrailers())
    stream.once('finish', () => this.#release())
    // Reset by the client: there is nobody left to hear the rest.
    stream.once('aborted', () => {
      if (!this.#broken) stream.destroy()
    })
  }

  get headersSent(): boolean {
    return this.#stream.headersSent
  }

  get writableEnded(): boolean {
    return this.#ended
  }

  /** The whole answer is on its way: nothing broke it off before. */
  get writableFinished(): boolean {
    const { writableFinished, aborted, rstCode } = this.#stream
    return this.#ended && writableFinished && !aborted && !this.#broken && rstCode === NGHTTP2_NO_ERROR
  }

  /** How a gRPC call ended, by its trailers, or by its head where that is all of it. */
  get grpcStatus(): number | undefined {
    const told = this.#trailers?.['grpc-status'] ?? this.#headers?.['grpc-status']
    return typeof told === 'string' && /^\d{1,2}$/.test(told) ? Number(told) : undefined
  }

  get writableLength(): number {
    return this.#stream.writableLength
  }

  /** Of the body, what the client has made room for. */
  get bytesTaken(): number {
    return this.#written - this.#stream.writableLength
  }

  /**
   * Throws where the answer could not be sent as it is.
   * @param headers flat, names in lower case
   */
  writeHead(status: number, headers: readonly string[]): this {
    if (!Number.isInteger(status) || status < 200 || status > 599) throw new RangeError(`no status: ${status}`)
    const byName: OutgoingHttpHeaders = Object.create(null)
    let sized = false
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] ?? ''
      const value = headers[i + 1] ?? ''
      validateHeaderName(name)
      validateHeaderValue(name, value)
      if (name === 'content-length') sized = true
      const before = byName[name]
      if (before === undefined) byName[name] = value
      // An array goes out as one line each, which for most means the same (RFC 9110 section 5.3), and Set-Cookie needs.
      else if (Array.isArray(before)) before.push(value)
      else byName[name] = [String(before), value]
    }
    this.statusCode = status
    this.#headers = { ':status': status, ...byName }
    this.#sized = sized
    return this
  }

  writeContinue(): void {
    if (this.#open()) this.#stream.additionalHeaders({ ':status': 100 })
  }

  flushHeaders(): void {
    this.#begin(false)
  }

  write(chunk: Buffer | string): boolean {
    this.#begin(false)
    this.#written += chunk.length
    if (!this.#open()) return true
    if (this.witness === undefined) return this.#stream.write(chunk, 'latin1')
    this.#under++
    return this.#stream.write(chunk, 'latin1', this.#onGone)
  }

  readonly #onGone = (): void => {
    if (--this.#under === 0) this.#gone?.()
  }

  /** A stream of HTTP/2 gathers by itself what can go out together. */
  cork(): void {}

  uncork(): void {}

  addTrailers(trailers: readonly (readonly [string, string])[]): void {
    const byName: OutgoingHttpHeaders = Object.create(null)
    for (const [name, value] of trailers) byName[name] = value
    this.#trailers = byName
  }

  end(chunk?: Buffer | string): this {
    if (this.#ended) return this
    this.#ended = true
    const { witness } = this
    if (witness === undefined || !this.#open()) this.#last(chunk)
    else if (this.#under === 0) witness.beforeEnd(() => this.#last(chunk))
    else {
      this.#gone = () => {
        if (this.#open()) witness.beforeEnd(() => this.#last(chunk))
      }
    }
    return this
  }

  #last(chunk?: Buffer | string): void {
    const empty = chunk === undefined || chunk.length === 0
    this.#begin(empty && this.#trailers === undefined)
    if (!this.#open() || this.#stream.writableEnded) return
    if (empty) this.#stream.end()
    else {
      this.#written += chunk.length
      this.#stream.end(chunk, 'latin1')
    }
  }

  /** Breaks the answer off so that it cannot be taken for a whole one: INTERNAL_ERROR, and the connection goes on. */
  destroy(): this {
    this.#broken = true
    this.#stream.destroy(new Error('the answer was broken off'))
    return this
  }

  destroySoon(): void {
    setImmediate(() => this.destroy())
  }

  #open(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed
  }

  #begin(endStream: boolean): void {
    if (this.#stream.headersSent || !this.#open()) return
    const headers = this.#headers ?? { ':status': this.statusCode }
    this.#stream.respond(headers, { endStream, waitForTrailers: !endStream && !this.#sized })
  }

  #sendTrailers(): void {
    if (!this.#open()) return
    this.#stream.sendTrailers(this.#trailers ?? {})
  }

  /** The rest of a request that has been answered is of no use: the client may stop (RFC 9113 section 8.1). */
  #release(): void {
    if (this.#broken || this.#stream.readableEnded || this.#stream.endAfterHeaders) return
    setImmediate(() => {
      if (!this.#stream.closed && !this.#stream.readableEnded) this.#stream.close(NGHTTP2_NO_ERROR)
    })
  }
}

/** The client is told by the reset of its stream. */
function ignore(): void {}

import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { cutOff, type Cut } from '../pipeline/cut.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { BodyLength, Received } from '../pipeline/exchange.ts'
import type { Gateway } from '../pipeline/gateway.ts'
import { rawError } from '../pipeline/reply.ts'
import { screen, screenedAgain } from '../pipeline/screen.ts'
import { UploadBuffers } from './http1-buffers.ts'
import type { Head } from './http1-head.ts'
import { BadRequest, RequestReader, type RequestSink } from './http1-reader.ts'
import { Http1Request, type Tap } from './http1-request.ts'
import { Http1Response, keepAliveSeconds } from './http1-response.ts'
import { asksForTunnel } from './upgrade.ts'

/** Seconds for a head to be complete. */
const headMax = 9
/** Seconds that a client may go on sending a body that nobody wants any more (nginx: lingering_close). */
const discardMax = 30
/** Seconds after which a client that keeps its side open after the last answer is not waited for any more. */
const lingerMax = 1
/**
 * Seconds for which a connection is held without a request: longer than its client is told, whose next request may have been
 * sent within its time and come late. On a connection that is closed meanwhile it is lost (RFC 9112 section 9.5).
 */
const idleMax = keepAliveSeconds + 5
/** Bytes of the next requests that are kept while one is being answered; then no more is read. */
const aheadMax = 65_536

/** What a connection is busy with, and so what bounds its time. */
const Doing = { waiting: 0, answering: 1, discarding: 2, leaving: 3, tunnel: 4 } as const
type Doing = (typeof Doing)[keyof typeof Doing]

/** One connection of HTTP/1.1: one request after the other. */
export class Http1Connection implements RequestSink, Tap {
  readonly remoteAddress: string
  readonly encrypted: boolean
  readonly socket: Socket
  readonly #gateway: Gateway
  readonly #reader = new RequestReader(this)
  #doing: Doing = Doing.waiting
  /** Seconds that it has been doing this. */
  #seconds = 0
  #request: Http1Request | undefined
  #response: Http1Response | undefined
  /** Of the request before, and what the screen made of it. */
  #head: Head | undefined
  #screened: Received | undefined
  /** What came of the next requests. */
  #ahead: Buffer | undefined
  #paused = false
  #taking = false
  #answered = false
  /** What is read goes into memory that is used again. */
  #lends = true
  /** Where an upload is read into. */
  #buffers: UploadBuffers | undefined

  constructor(socket: Socket, remoteAddress: string, gateway: Gateway) {
    this.socket = socket
    this.remoteAddress = remoteAddress
    this.encrypted = 'encrypted' in socket
    this.#gateway = gateway
    socket.on('error', ignore)
    socket.on('end', this.#onEnd)
    socket.on('drain', this.#onDrain)
    socket.once('close', this.#onClose)
  }

  /** The answer that it is busy with. */
  get current(): Http1Response | undefined {
    return this.#response
  }

  /** It has answered something before, and has nothing to do. */
  get unused(): boolean {
    return this.#answered && this.#doing === Doing.waiting
  }

  /** Takes what has come; it is lent. False: no more for the moment. */
  take(bytes: Buffer): boolean {
    if (this.#buffers !== undefined && this.#request?.pending === false) this.#buffers.gone()
    if (this.#doing === Doing.tunnel) return this.socket.push(Buffer.from(bytes))
    if (this.#ahead !== undefined) this.#keep(bytes)
    else this.#advance(bytes)
    return true
  }

  /** Takes what a stream reads into memory of its own: one of TLS. */
  readStream(): void {
    this.socket.on('data', this.#onData)
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#lends = false
    this.take(bytes)
  }

  #advance(bytes: Buffer): void {
    let at = 0
    this.#taking = true
    try {
      while (at < bytes.length && !this.socket.destroyed) {
        if (this.#doing === Doing.leaving) break
        if (this.#doing === Doing.tunnel) {
          this.socket.unshift(Buffer.from(bytes.subarray(at)))
          break
        }
        if (this.#reader.done) {
          this.#keep(bytes.subarray(at))
          break
        }
        at = this.#reader.take(bytes, at)
      }
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error
      this.refuse(error.failure, badBody)
    }
    this.#taking = false
    if (this.#paused && this.idle) this.resume()
  }

  /** Of the next requests, while this one is being answered. */
  #keep(bytes: Buffer): void {
    this.#ahead = this.#ahead === undefined ? Buffer.from(bytes) : Buffer.concat([this.#ahead, bytes])
    if (this.#ahead.length >= aheadMax) this.pause()
  }

  head(head: Head): BodyLength {
    const request = new Http1Request(head, this)
    const received = this.#screen(head, request)
    const failed = 'code' in received
    const response = new Http1Response(request, this.socket, !failed && received.persistent, this.#onAnswered)
    this.#request = request
    this.#response = response
    this.#become(Doing.answering)
    if (!failed && asksForTunnel(request, received)) {
      this.#doing = Doing.tunnel
      this.socket.off('data', this.#onData)
      response.shouldKeepAlive = false
      this.#gateway(request, response, received, { socket: this.socket, head: Buffer.alloc(0) })
      return 0
    }
    this.#gateway(request, response, received)
    // What could not be read for certain is followed by nothing that could.
    return failed ? 0 : received.bodyLength
  }

  #screen(head: Head, request: Http1Request): Received | Failure {
    if (this.#head === head && this.#screened !== undefined) return screenedAgain(this.#screened)
    const received = head.method === 'CONNECT' ? noConnect : screen(request)
    // Kept from the second time on, and apart from what is changed on its way.
    this.#screened = this.#head === head && !('code' in received) ? screenedAgain(received) : undefined
    this.#head = head
    return received
  }

  data(chunk: Buffer): void {
    this.#request?.take(chunk, this.#lends && this.#buffers === undefined)
  }

  end(): void {
    const request = this.#request
    request?.finish()
    if (this.#doing === Doing.discarding) this.#next()
  }

  readonly #onAnswered = (response: Http1Response): void => {
    this.#answered = true
    this.#response = undefined
    const request = this.#request
    if (!response.shouldKeepAlive || this.#doing === Doing.tunnel) this.#leave()
    else if (request?.complete === false) {
      // Closing at once would reset the connection, and the client, still sending, would never see the answer.
      this.#become(Doing.discarding)
      request.read(nowhere)
    } else this.#next()
  }

  /** Is ready for the next request. */
  #next(): void {
    this.#request = undefined
    this.#buffers = undefined
    this.#become(Doing.waiting)
    this.#reader.next()
    const ahead = this.#ahead
    if (this.#taking) return
    if (ahead !== undefined) setImmediate(this.#goOn)
    else if (this.#paused) this.resume()
  }

  readonly #goOn = (): void => {
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead !== undefined) this.#advance(ahead)
    if (this.#ahead === undefined && this.#paused && this.#doing === Doing.waiting) this.resume()
  }

  /** The last answer has gone; the client closes when it has read it. */
  #leave(): void {
    this.#become(Doing.leaving)
    this.#ahead = undefined
    this.#request?.abort()
    if (this.socket.destroyed) return
    this.socket.end()
    if (this.#paused) this.resume()
    // What is read is thrown away.
    this.socket.resume()
  }

  /** Answers what cannot be served, and ends the connection. @param cut how the exchange that it ends is told of */
  refuse(why: Failure, cut: Cut): void {
    const response = this.#response
    if (response !== undefined) {
      cutOff(response, cut)
      if (response.headersSent || this.#request?.complete === true) {
        this.socket.destroy()
        return
      }
      this.#response = undefined
      response.close()
    }
    this.#request?.abort()
    this.socket.write(rawError(why, randomUUID()))
    this.#leave()
  }

  /** A second has passed. */
  tick(): void {
    this.#seconds++
    if (this.#doing === Doing.waiting) {
      if (!this.#reader.idle) {
        if (this.#seconds > headMax) this.refuse(lateHead, notSent)
      } else if (this.#seconds > (this.#answered ? idleMax : headMax)) this.socket.destroy()
    } else if (this.#doing === Doing.discarding ? this.#seconds > discardMax : this.#doing === Doing.leaving && this.#seconds > lingerMax) {
      this.socket.destroy()
    }
  }

  /** Whether it may be closed without anybody noticing. */
  get idle(): boolean {
    return this.#doing === Doing.waiting && this.#reader.idle && this.#ahead === undefined
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.socket.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.socket.resume()
  }

  /** The buffer for the next read; undefined: the one that all share. */
  buffer(last: Buffer, length: number): Buffer | undefined {
    const request = this.#request
    if (request === undefined || request.complete || !request.streams) return undefined
    if (this.#buffers !== undefined) return this.#buffers.next(last, length, request.pending)
    this.#buffers = new UploadBuffers()
    return this.#buffers.own
  }

  #become(doing: Doing): void {
    this.#doing = doing
    this.#seconds = 0
  }

  readonly #onDrain = (): void => this.#response?.drain()

  /** The client has closed its half: with an answer to come it has left, as a browser does that is closed. */
  readonly #onEnd = (): void => {
    if (this.#doing === Doing.tunnel) return
    const response = this.#response
    if (response !== undefined && response.writableEnded) response.shouldKeepAlive = false
    else if (this.#doing === Doing.waiting && !this.#reader.idle) this.refuse(halfHead, notSent)
    else if (this.#doing === Doing.waiting || this.#doing === Doing.leaving) this.socket.end()
    else this.socket.destroy()
  }

  readonly #onClose = (): void => {
    const response = this.#response
    this.#response = undefined
    // First, so that what becomes of the body is known for what it is.
    response?.close()
    this.#request?.abort()
  }
}

const noConnect = failure('method_not_allowed', 'CONNECT is not served here.')
const lateHead = failure('invalid_request', 'The head of the request did not arrive in time.')
const halfHead = failure('invalid_request', 'The request is not valid HTTP.')
const badBody = { code: 'invalid_request', cause: 'the body is not valid HTTP' } as const
const notSent = { code: 'invalid_request', cause: 'the request is not complete' } as const

/** For a body that nobody wants. */
const nowhere = { copies: true, data: () => true, pending: () => false, end() {}, fail() {} }

/** It closes after it, and that is listened to. */
function ignore(): void {}

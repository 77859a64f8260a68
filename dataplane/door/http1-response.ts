import type { Socket } from 'node:net'
import { STATUS_CODES } from '../http.ts'
import type { DoorResponse } from '../pipeline/door.ts'
import { HeaderLines } from '../pipeline/header_lines.ts'
import type { Http1Request } from './http1-request.ts'

/** Seconds that a client is told that its connection is kept without a request: above the 60 of the usual load balancers, which must be the ones to close. */
export const keepAliveSeconds = 75

/** Bodies up to this many bytes go out in one piece with their head. */
const joinMax = 16_384

const lines = new HeaderLines()
const statusLines: string[] = []

const kept = `connection: keep-alive\r\nkeep-alive: timeout=${keepAliveSeconds}\r\n\r\n`
const closed = 'connection: close\r\n\r\n'

/** An answer of HTTP/1.1. Its head goes out with the first byte of its body, in one write. */
export class Http1Response implements DoorResponse {
  readonly request: Http1Request
  readonly plain = true
  statusCode = 200
  shouldKeepAlive: boolean
  headersSent = false
  writableEnded = false
  writableFinished = false
  witness: DoorResponse['witness'] = undefined
  readonly #socket: Socket
  readonly #done: (response: Http1Response) => void
  /** The head that has not gone out yet, without its last lines. */
  #head = ''
  #bodyless: boolean
  #framed = false
  #closed = false
  #drained: (() => void) | undefined
  #over: (() => void) | undefined

  /** @param done called once the whole answer is with the kernel */
  constructor(request: Http1Request, socket: Socket, keepAlive: boolean, done: (response: Http1Response) => void) {
    this.request = request
    this.#socket = socket
    this.shouldKeepAlive = keepAlive
    this.#bodyless = request.method === 'HEAD'
    this.#done = done
  }

  get chunks(): boolean {
    return this.request.httpVersion === '1.1'
  }

  get pending(): boolean {
    return this.#socket.writableLength > 0
  }

  on(_event: 'drain', listener: () => void): void {
    this.#drained = listener
  }

  once(_event: 'close', listener: () => void): void {
    if (this.#closed) listener()
    else this.#over = listener
  }

  /** The socket takes more. */
  drain(): void {
    this.#drained?.()
  }

  writeHead(status: number, headers: readonly string[]): void {
    if (!Number.isInteger(status) || status < 200 || status > 999) throw new RangeError(`no status: ${status}`)
    let head = (statusLines[status] ??= `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`)
    let dated = false
    let framed = false
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] ?? ''
      const value = headers[i + 1] ?? ''
      const one = lines.line(i, name, value)
      if (one === undefined) throw new TypeError(`the header ${name} cannot be sent`)
      if (name === 'date') dated = true
      else if (name === 'content-length' || name === 'transfer-encoding') framed = true
      head += one
    }
    if (!dated) head += line
    this.statusCode = status
    this.#framed = framed
    if (status === 204 || status === 304) this.#bodyless = true
    this.#head = head
  }

  writeContinue(): void {
    if (!this.#closed) this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1')
  }

  flushHeaders(): void {
    if (!this.headersSent && !this.#closed) this.#socket.write(this.#takeHead(), 'latin1')
  }

  write(chunk: Buffer | string): boolean {
    // Whatever comes after the end would be read as the next answer.
    return this.#closed || this.writableEnded ? true : this.#put(chunk)
  }

  #put(chunk: Buffer | string): boolean {
    const socket = this.#socket
    if (this.#bodyless) {
      this.flushHeaders()
      return true
    }
    if (this.headersSent) return typeof chunk === 'string' ? socket.write(chunk, 'latin1') : socket.write(chunk)
    const head = this.#takeHead()
    if (typeof chunk === 'string') return socket.write(head + chunk, 'latin1')
    if (chunk.length <= joinMax) return socket.write(head + chunk.toString('latin1'), 'latin1')
    socket.cork()
    socket.write(head, 'latin1')
    const more = socket.write(chunk)
    socket.uncork()
    return more
  }

  addTrailers(): void {
    // They come in the last chunk, which who frames the chunks writes.
  }

  end(chunk?: Buffer | string): void {
    if (this.writableEnded || this.#closed) return
    this.writableEnded = true
    const { witness } = this
    if (witness === undefined) this.#last(chunk)
    else if (this.#socket.writableLength === 0) witness.beforeEnd(() => this.#last(chunk))
    else this.#socket.write('', () => { if (!this.#closed) witness.beforeEnd(() => this.#last(chunk)) })
  }

  #last(chunk?: Buffer | string): void {
    if (this.#closed) return
    const empty = chunk === undefined || chunk.length === 0
    if (!this.headersSent && !this.#framed && !this.#bodyless) {
      this.#head += `content-length: ${empty ? 0 : chunk.length}\r\n`
      this.#framed = true
    }
    if (!empty) this.#put(chunk)
    else this.flushHeaders()
    if (this.#socket.writableLength === 0) this.#finish()
    // It comes back when all before it has gone.
    else this.#socket.write('', () => this.#finish())
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  destroy(): void {
    if (this.#closed) return
    // What would end with its connection must not end in order.
    if (this.headersSent && !this.#framed && !this.writableEnded && !('encrypted' in this.#socket)) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  destroySoon(): void {
    if (!this.#closed) this.#socket.destroySoon()
  }

  /** Nothing more will be sent by it. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#drained = undefined
    const over = this.#over
    this.#over = undefined
    over?.()
  }

  #finish(): void {
    if (this.#closed) return
    this.writableFinished = !this.#socket.destroyed
    this.close()
    this.#done(this)
  }

  #takeHead(): string {
    if (this.#head === '') this.writeHead(this.statusCode, [])
    this.headersSent = true
    // Its end is that of the connection.
    if (!this.#framed && !this.#bodyless) this.shouldKeepAlive = false
    const head = this.#head
    this.#head = ''
    return head + (this.shouldKeepAlive ? kept : closed)
  }
}

let line = ''

/** The time of answers whose backend tells none; for who looks at the clock every second. */
export function tellTime(): void {
  line = `date: ${new Date().toUTCString()}\r\n`
}

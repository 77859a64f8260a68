import type { DoorRequest, DoorResponse } from '../pipeline/door.ts'
import type { AnswerHandler, Controller } from './dispatch.ts'

/** A request that no door brought: its body is with the exchange. */
export function innerRequest(method: string, url: string, headers: readonly string[]): DoorRequest {
  return { method, url, httpVersion: '1.1', rawHeaders: headers, remoteAddress: '', encrypted: false, read() {}, resume() {}, release() {} }
}

/** An answer that goes to a part of the gateway, and not to a client. */
export class InnerResponse implements DoorResponse, Controller {
  statusCode = 200
  shouldKeepAlive = true
  headersSent = false
  writableEnded = false
  writableFinished = false
  /** What is given is kept by who gets it, so that its memory is not used again. */
  readonly pending = true
  readonly plain = false
  readonly chunks = false
  readonly #to: AnswerHandler
  #paused = false
  #closed = false
  #trailers: string[] = []
  #drained: (() => void)[] = []
  #closing: (() => void)[] = []

  constructor(to: AnswerHandler) {
    this.#to = to
  }

  writeHead(status: number, headers: readonly string[]): void {
    this.statusCode = status
    this.headersSent = true
    this.#to.onResponseStart(this, status, headers)
  }

  writeContinue(): void {}

  flushHeaders(): void {
    this.#to.onResponseFlush()
  }

  write(chunk: Buffer | string): boolean {
    this.#to.onResponseData(this, typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk)
    return !this.#paused
  }

  addTrailers(trailers: readonly (readonly [string, string])[]): void {
    this.#trailers = trailers.flat()
  }

  end(chunk?: Buffer | string): void {
    if (this.#closed) return
    if (chunk !== undefined && chunk.length > 0) this.write(chunk)
    this.writableEnded = true
    this.writableFinished = true
    this.#close()
    this.#to.onResponseEnd(this, this.#trailers)
  }

  cork(): void {}

  uncork(): void {
    this.#to.onResponseFlush()
  }

  destroy(): void {
    this.#close()
  }

  destroySoon(): void {
    this.#close()
  }

  /** As with a connection, it is heard of after whatever it was that closed it. */
  #close(): void {
    if (this.#closed) return
    this.#closed = true
    queueMicrotask(() => {
      for (const listener of this.#closing) listener()
    })
  }

  on(_event: 'drain', listener: () => void): void {
    this.#drained.push(listener)
  }

  once(_event: 'close', listener: () => void): void {
    this.#closing.push(listener)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    for (const listener of this.#drained) listener()
  }

  abort(): void {
    this.#close()
  }
}

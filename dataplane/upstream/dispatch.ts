import type { FlatHeaders } from '../pipeline/headers.ts'
import type { BodySink } from '../pipeline/door.ts'

/** A body that is given as it is taken; `resume` after the sink said that it takes no more for the moment. */
export interface BodySource {
  flow(sink: BodySink): void
  resume(): void
}

/** A request as it goes to a backend; its framing is the connection's to write. A body in text has a byte for each character. */
export type Sent = Readonly<{ path: string; method: string; headers: FlatHeaders; body: Buffer | string | BodySource | null }>

/** What the one who waits for an answer can do about it. */
export interface Controller {
  pause(): void
  resume(): void
  /** The handler hears of it as of an error. After the end of the answer it does nothing. */
  abort(reason: Error): void
}

/** Called in the order response, data…, end; an error can take the place of any, and is then the last. */
export interface AnswerHandler {
  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void
  /** @param chunk is lent until `onResponseFlush` has returned, unless that says that it is still needed */
  onResponseData(controller: Controller, chunk: Buffer): void
  /** All that has come so far was given. True: bytes of it are still to be sent. */
  onResponseFlush(): boolean
  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void
  onResponseError(error: Error): void
}

/** Before that it is called in the order start, sent; an error can take the place of these too. */
export interface Handler extends AnswerHandler {
  /** `performance.now()` of the moment in which it is dispatched, and of its end, where it has looked at the clock. */
  readonly startedAt?: number
  readonly endedAt?: number
  /** A connection has it: from here on the backend may see it. */
  onRequestStart(controller: Controller): void
  /** The last byte of the request was given to the connection. */
  onRequestSent(): void
}

/** The connection ended before the answer did. */
export class ConnectionLost extends Error {
  readonly code = 'UPSTREAM_RESET'
  /** It had brought an answer before, and not a byte of this one: the backend may have closed it as idle. */
  readonly stale: boolean

  constructor(message: string, stale: boolean) {
    super(message)
    this.stale = stale
  }
}

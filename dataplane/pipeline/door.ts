/** Where the body of a request goes. */
export type BodySink = Readonly<{
  /** It copies what it keeps, so that a piece is only lent for the call; otherwise, until `pending` is false. */
  copies: boolean
  /** False: no more for the moment, until `resume`. */
  data(chunk: Buffer): boolean
  /** Bytes of what was given are still in use, so that they must not change. */
  pending(): boolean
  end(): void
  /** The client left in the middle: half a body must not look like a whole one. */
  fail(error: Error): void
}>

/** A request as a door gives it to the pipeline: its head, and its body for whoever asks for it. */
export interface DoorRequest {
  readonly method: string
  /** The target as it came. */
  readonly url: string
  /** `1.0`, `1.1` or `2`. */
  readonly httpVersion: string
  /** Names and values as they came, one after the other; names in lower case where the door has them so. */
  readonly rawHeaders: readonly string[]
  /** Of the connection. */
  readonly remoteAddress: string
  /** It came over TLS. */
  readonly encrypted: boolean
  /** Gives the body to `sink`, from where the one before let go of it. A client that never sends it never ends it. */
  read(sink: BodySink): void
  /** What reads takes more again. */
  resume(): void
  /** Nobody reads until somebody asks again. */
  release(): void
}

/** What the pipeline answers by. */
export interface DoorResponse {
  statusCode: number
  /** False: the connection ends with the answer. HTTP/2 does not look at it. */
  shouldKeepAlive: boolean
  readonly headersSent: boolean
  readonly writableEnded: boolean
  /** The whole answer is with the kernel, or with the connection of HTTP/2: nothing broke it off. */
  readonly writableFinished: boolean
  /** Bytes that were given are still to be sent, so that they must not change. */
  readonly pending: boolean
  /** Answers in text and chunk frames are made by who writes: HTTP/1. */
  readonly plain: boolean
  /** Chunks can be sent: HTTP/1.1. */
  readonly chunks: boolean
  /** How a gRPC call ended, where the door sees that. */
  readonly grpcStatus?: number | undefined
  /** Throws where the answer could not be sent as it is. @param headers flat, names in lower case */
  writeHead(status: number, headers: readonly string[]): unknown
  /** Set by who must hear that the answer is over before its last byte goes out. */
  witness?: Witness | undefined
  writeContinue(): void
  flushHeaders(): void
  /** Text is Latin-1. False: no more for the moment, until `drain`. */
  write(chunk: Buffer | string): boolean
  addTrailers(trailers: readonly (readonly [string, string])[]): void
  end(chunk?: Buffer | string): unknown
  /** What is written in between goes out together. */
  cork(): void
  uncork(): void
  /** Breaks the answer off so that it cannot be taken for a whole one. */
  destroy(): unknown
  /** The same, once what was written has gone. */
  destroySoon(): void
  on(event: 'drain', listener: () => void): unknown
  /** It is over, whichever way. */
  once(event: 'close', listener: () => void): unknown
}

/**
 * Hears of the end of an answer: called once, when all before its last byte has gone; it calls back when the rest may go.
 * An object with a method, and no closure in its place: with one for each answer, what belonged to requests that were over
 * was not collected with what is young, in the first half second under load, 1.2 MiB of it each time. Why V8 did so is not known.
 */
export type Witness = Readonly<{ beforeEnd(go: () => void): void }>

/** Of a header that occurs once. @param name in lower case */
export function rawHeader({ rawHeaders }: DoorRequest, name: string): string | undefined {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === name) return rawHeaders[i + 1]
  return undefined
}

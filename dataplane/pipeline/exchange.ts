import type { IncomingMessage, ServerResponse } from 'node:http'
import { modelOf, protocolOf, type Protocol } from '../protocols/path.ts'
import type { NamedModel } from '../protocols/model.ts'
import type { Series } from '../telemetry/series.ts'
import type { ErrorCode } from './errors.ts'
import { valueOf, type FlatHeaders } from './headers.ts'
import type { Matchable } from './match.ts'
import type { BuiltRule, BuiltVariant } from './rule.ts'

/** How a request body is framed: none, a known number of bytes, or chunks until it ends. */
export type BodyLength = number | 'chunked'

/** What the door made of the request line and the headers. */
export type Received = Readonly<{
  method: string
  host: string
  /** The Host header as it came; empty when there was none. */
  authority: string
  path: string
  /** With its `?`, as it came. */
  query: string
  /** The end-to-end headers. Filters change them; the upstream gets what is left. */
  headers: FlatHeaders
  /** Bits of the kinds of header seen, `1 << Kind`: a filter looks for its own only where there are some. */
  seen: number
  bodyLength: BodyLength
  /** `Expect: 100-continue`: the client waits for leave to send the body. */
  expectsContinue: boolean
}>

/** One request and its response, from the door to the log. */
export class Exchange implements Matchable {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly received: Received
  /** The table that serves it, from here to the end. */
  readonly tableVersion: string
  readonly requestId: string
  /** `performance.now()` of its arrival. */
  readonly startedAt: number

  rule: BuiltRule | undefined
  variant: BuiltVariant | undefined
  /** Where what happens to it is counted. */
  series: Series | undefined
  /** The model's version as far as it is known: what the backend is asked for. */
  modelVersion: string | undefined
  endpoint = ''
  /** The code of what went wrong, also where the status has been sent already. */
  error: ErrorCode | undefined
  /** For the log: what the caller need not know. */
  cause = ''
  /** It has become a tunnel: the response is over when the connection is. */
  upgraded = false
  upstreamStartedAt = 0
  firstByteAt = 0
  upstreamEndedAt = 0
  bytesIn = 0
  bytesOut = 0

  #model: NamedModel | undefined | null = null
  #parameters: URLSearchParams | undefined

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    received: Received,
    tableVersion: string,
    requestId: string,
    startedAt: number,
  ) {
    this.request = request
    this.response = response
    this.received = received
    this.tableVersion = tableVersion
    this.requestId = requestId
    this.startedAt = startedAt
  }

  get method(): string {
    return this.received.method
  }

  get host(): string {
    return this.received.host
  }

  get path(): string {
    return this.received.path
  }

  get protocol(): Protocol {
    return protocolOf(this.received.path)
  }

  header(name: string): string | undefined {
    return name === 'host' ? this.received.authority || undefined : valueOf(this.received.headers, name)
  }

  parameter(name: string): string | undefined {
    this.#parameters ??= new URLSearchParams(this.received.query)
    return this.#parameters.get(name) ?? undefined
  }

  model(): NamedModel | undefined {
    if (this.#model === null) this.#model = modelOf(this.received.path)
    return this.#model
  }
}

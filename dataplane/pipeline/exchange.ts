import type { RequestFacts } from '../../table/expression.ts'
import { modelOf, protocolOf, type Protocol } from '../protocols/path.ts'
import type { Members } from '../protocols/json.ts'
import { modelInHeaders, placeOfModel } from '../protocols/named.ts'
import type { TokenUsage } from '../protocols/usage.ts'
import type { BodyValue, Named } from '../protocols/scan/scan.ts'
import type { Generated } from '../translate/translation.ts'
import type { Series } from '../telemetry/series.ts'
import type { Spans } from '../telemetry/tracing/spans.ts'
import type { AnswerHandler } from '../upstream/dispatch.ts'
import type { Caller } from '../telemetry/callers.ts'
import type { Audience, Cached } from './cached.ts'
import type { DoorRequest, DoorResponse } from './door.ts'
import type { ErrorCode, Failure } from './errors.ts'
import { ExchangeFacts } from './facts.ts'
import type { Geo } from './geo.ts'
import { valueOf, type FlatHeaders } from './headers.ts'
import type { Trail } from './hops.ts'
import { canBeJson, type Look, type Wants } from './looks.ts'
import type { Candidate, Matchable } from './match.ts'
import { plainAddress } from './networks.ts'
import type { Batched, BodyRewrite, StepRecord } from './parts.ts'
import type { Authenticate, Principal, Verdict } from './principal.ts'
import type { BuiltRule, BuiltVariant } from './rule.ts'
import type { Told } from './told.ts'
import type { Trace } from './trace.ts'

/** How a request body is framed: none, a known number of bytes, or chunks until it ends. */
export type BodyLength = number | 'chunked'

/** What the door made of the request line and the headers. */
export type Received = Readonly<{
  method: string
  host: string
  /** The Host header as it came; empty when there was none. */
  authority: string
  path: string
  /** The end-to-end headers. Filters change them; the upstream gets what is left. */
  headers: FlatHeaders
  /** Bits of the kinds of header seen, `1 << Kind`: a filter looks for its own only where there are some. */
  seen: number
  bodyLength: BodyLength
  /** `Expect: 100-continue`: the client waits for leave to send the body. */
  expectsContinue: boolean
  /** Another request may come on its connection. */
  persistent: boolean
  /** One object for all requests of one connection that begin with the same bytes, once there were two; what is known of one is true of all. */
  again: object | undefined
}> & {
  /** With its `?`, as it came. Filters take out what the upstream may not see. */
  query: string
}

/** What carries a request on. */
export type Way = Readonly<{
  start(): void
  /** The client is gone, or has been answered: called exactly once. */
  clientClosed(): void
}>

/** Sees the head of every answer before it is sent, the gateway's own errors too, and may change its headers. */
export type HeadTap = (status: number, headers: FlatHeaders) => void
/** Sees each piece of a backend's answer on its way. */
export type DataTap = (chunk: Buffer) => void

/**
 * Stands before whoever gets an answer, and may hold it, change it or refuse it. `refuse` ends the request with an error
 * where nothing has gone out yet, and breaks the answer off where something has; `cause` is for the log.
 */
export type Stage = (to: AnswerHandler, refuse: (why: Failure, cause: string) => void) => AnswerHandler

/** One request and its response, from the door to the log. */
export class Exchange implements Matchable {
  /** One in its place, where a part of the body has been read already. */
  request: DoorRequest
  readonly response: DoorResponse
  readonly received: Received
  /** The table that serves it, from here to the end. */
  readonly tableVersion: string
  readonly requestId: string
  /** `performance.now()` of its arrival. */
  readonly startedAt: number

  /** The address of the caller, as far as those that stand between can be believed. */
  clientAddress: string
  /** What it is a part of, where somebody traces. */
  trace: Trace | undefined
  /** Where it is traced here, and kept. */
  spans: Spans | undefined
  /** The hops between the caller and us, where they are trusted. */
  trail: Trail | undefined
  /** Finds out where the caller is. */
  geo: Geo | undefined
  rule: BuiltRule | undefined
  /** The model that the match asks for: what is counted for it. */
  asked: Candidate['model']
  /** Undefined where no rule asked who calls. */
  principal: Principal | undefined
  variant: BuiltVariant | undefined
  /** Of the key by which it sticks to that, one of 2^32. */
  bucket: number | undefined
  /** Where what happens to it is counted. */
  series: Series | undefined
  /** The model's version as far as it is known: what the backend is asked for. */
  modelVersion: string | undefined
  /** Who answers in place of the variant that was chosen: another one, or `static`. */
  fallback: string | undefined
  /** How often it was sent to an endpoint. */
  tries = 0
  endpoint = ''
  /** The code of what went wrong, also where the status has been sent already. */
  error: ErrorCode | undefined
  /** For the log: what the caller need not know. */
  cause = ''
  /** It has become a tunnel: the response is over when the connection is. */
  upgraded = false
  /** The whole body of the request, where something had to read it. */
  body: Buffer | undefined
  /** What that body holds, where something had to look (asked.ts). */
  members: Members | undefined
  /** The client that waits for leave to send its body has it. */
  continued = false
  /** What the beginning of its prompt comes to, where endpoints are chosen by that. */
  promptKey: number | undefined
  /** Only what would be done is asked: nothing may be taken, counted or written. Filters may say why, by their name. */
  explaining: Map<string, string> | undefined
  /** What one that is only imagined learns on its way. */
  told: Told | undefined
  /** The principal to take the caller for, where that is asked. */
  assumed: Principal | undefined
  /** The answer is over, or the client gone. */
  ended = false
  way: Way | undefined
  headTaps: HeadTap[] | undefined
  dataTaps: DataTap[] | undefined
  /** The same for those that keep nothing of a piece: its memory is used again. */
  glances: DataTap[] | undefined
  /** Sees each piece of the request's body on its way to the backend, and undefined once that was all. `lent`: its memory is used again. */
  bodyTap: ((chunk: Buffer | undefined, lent: boolean) => void) | undefined
  /** Set by a head tap at the latest, which takes the length out of the headers. */
  rewrite: BodyRewrite | undefined
  /** What an answer goes through on its way out; the first stands nearest to the client. */
  stages: Stage[] | undefined
  /** Of a call that the gateway makes itself: takes an error in place of an answer that would say it to a client. */
  onFailure: ((why: Failure) => void) | undefined
  /** Those who wait for its answer too: it is fetched for them though its client leaves. */
  audience: Audience | undefined
  /** Its client has left, and it goes on for the others. */
  orphaned = false
  /** Answers in place of backends that failed. False: there is nothing to answer. */
  rescue: (() => boolean) | undefined
  /** What the cache of its rule had to do with it; undefined where the rule has none. */
  cached: Cached | undefined
  /** How it was joined with others; undefined where the rule joins none. */
  batched: Batched | undefined
  /** Of a composition, as far as they have begun. */
  steps: StepRecord[] | undefined
  upstreamStartedAt = 0
  firstByteAt = 0
  upstreamEndedAt = 0
  /** How many tokens it takes is counted here: a backend that tells so only when it is asked to is asked. */
  countsTokens = false
  /** What a translation makes out of an answer that is text. */
  generated: Generated | undefined
  /** Whether a variant takes the request at all, where the rule wants that known before; undefined: nobody wants to. Never rejects. */
  fits: ((rule: BuiltRule, variant: BuiltVariant) => Promise<Failure | undefined>) | undefined
  /** Where the answer is not what its rule says, where that is only reported. */
  mismatch: string | undefined
  /** Tokens that it took, as far as something counts them (`metered`), and rows; told when it is over. Of an answer given again, the part that is billed. */
  used: TokenUsage | undefined
  metered = false
  rows: number | undefined
  /** Who was counted, where a limit was for it. */
  caller: Caller | undefined
  /** What it cost, where a limit of the rule counts cost: by the first that does. `charged`: as it is told, by the price list where there is one; a decimal. */
  cost: number | undefined
  charged: string | undefined
  bytesIn = 0
  bytesOut = 0

  /** Its body has been looked into for the model. */
  modelLooked = false
  /** Where in its body the model stands, as far as somebody has looked. */
  modelPlace: readonly [from: number, to: number] | undefined

  #model: Named | undefined | null = null
  /** What was found in the body, where that was looked for. */
  #modelFound: Named | undefined
  #values: Map<string, BodyValue | undefined> | undefined
  #country: string | undefined | null = null
  #facts: RequestFacts | undefined
  #parameters: URLSearchParams | undefined
  /** By whose terms it was asked who calls, and the outcome; nearly always by those of one rule. */
  #authenticate: Authenticate | undefined
  #verdict: Verdict | undefined
  #others: Map<Authenticate, Verdict> | undefined
  #ends: (() => void)[] | undefined

  constructor(request: DoorRequest, response: DoorResponse, received: Received, tableVersion: string, requestId: string, startedAt: number) {
    this.request = request
    this.response = response
    this.received = received
    this.tableVersion = tableVersion
    this.requestId = requestId
    this.startedAt = startedAt
    this.clientAddress = plainAddress(request.remoteAddress)
  }

  /** Calls back once, when the answer is over or the client gone: at once, where that has been. */
  onEnd(callback: () => void): void {
    if (this.ended) callback()
    else (this.#ends ??= []).push(callback)
  }

  /** Has one more see each piece of the request's body. */
  tapBody(tap: NonNullable<Exchange['bodyTap']>): void {
    const before = this.bodyTap
    this.bodyTap = before === undefined ? tap : (chunk, lent) => {
      before(chunk, lent)
      tap(chunk, lent)
    }
  }

  /** The headers of an answer of the gateway's own, as whoever watches answers wants them. */
  stampHead(status: number, headers: FlatHeaders): FlatHeaders {
    for (const tap of this.headTaps ?? []) tap(status, headers)
    return headers
  }

  end(): void {
    this.ended = true
    for (const callback of this.#ends ?? []) callback()
  }

  /** Who calls, by these terms; asked once. */
  authenticated(authenticate: Authenticate): Verdict | Promise<Verdict> {
    const known = this.verdict(authenticate)
    if (known !== undefined) return known
    if (this.assumed !== undefined) return this.#remember(authenticate, this.assumed)
    const verdict = authenticate(this)
    return verdict instanceof Promise ? verdict.then((settled) => this.#remember(authenticate, settled)) : this.#remember(authenticate, verdict)
  }

  /** Who calls, by these terms, where that has been asked already. */
  verdict(authenticate: Authenticate): Verdict | undefined {
    return this.#authenticate === authenticate ? this.#verdict : this.#others?.get(authenticate)
  }

  #remember(authenticate: Authenticate, verdict: Verdict): Verdict {
    if (this.#authenticate === undefined) {
      this.#authenticate = authenticate
      this.#verdict = verdict
    } else if (this.#authenticate !== authenticate) (this.#others ??= new Map()).set(authenticate, verdict)
    return verdict
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

  get country(): string | undefined {
    if (this.#country === null) this.#country = this.geo?.(this)
    return this.#country
  }

  facts(): RequestFacts {
    return (this.#facts ??= new ExchangeFacts(this))
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

  /** The model that it names: in its path, else in its body as far as somebody has looked, else in a header. */
  model(): Named | undefined {
    if (this.#model === null) {
      this.#model = modelOf(this.received.path) ?? this.#modelFound
      const inHeaders = this.#model ?? modelInHeaders(this.received.headers)
      this.#model = inHeaders === 'two' ? undefined : inHeaders
    }
    return this.#model
  }

  get modelUnread(): boolean {
    const { path, headers, bodyLength } = this.received
    return !this.modelLooked && bodyLength !== 0 && placeOfModel(path, headers) !== undefined
  }

  /** Servers that go by a header for the model would serve another one than the request says otherwise. */
  get modelInDoubt(): boolean {
    const inHeaders = modelInHeaders(this.received.headers)
    return inHeaders === 'two' || (inHeaders !== undefined && this.model()?.name !== inHeaders.name)
  }

  value(pointer: string): BodyValue | 'unread' | undefined {
    if (this.#values?.has(pointer) === true) return this.#values.get(pointer)
    return this.received.bodyLength !== 0 && canBeJson(this.received.headers) ? 'unread' : undefined
  }

  /** Remembers what a look into the body has brought; without one, that nothing is there. */
  looked({ model, pointers }: Wants, look: Look | undefined): void {
    if (model) {
      this.modelLooked = true
      this.#modelFound = look?.model()
      this.modelPlace = look?.place?.()
      this.#model = null
      this.#facts = undefined
    }
    for (const pointer of pointers) (this.#values ??= new Map()).set(pointer, look?.value(pointer))
  }
}

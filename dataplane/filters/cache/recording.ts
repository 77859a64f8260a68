import type { Entry } from '../../cache/entry.ts'
import type { Flight, Landing } from '../../cache/flights.ts'
import { termsOf, type Terms } from '../../cache/freshness.ts'
import type { Exchange, Stage } from '../../pipeline/exchange.ts'
import { known, Kind, valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { detached } from '../../pipeline/recalled.ts'
import type { BuiltVariant } from '../../pipeline/rule.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { isOpenAI } from '../../protocols/openai.ts'
import { statusSaid } from '../../upstream/again.ts'
import type { AnswerHandler, Controller } from '../../upstream/dispatch.ts'
import { tellsLoad } from '../../upstream/load/orca.ts'
import { madeOf } from './answers.ts'
import { markGiven, type Built } from './give.ts'
import { variedKey } from './question.ts'
import type { Wishes } from './wishes.ts'

/** A request whose answer is to be kept. */
export type Quest = Readonly<{
  exchange: Exchange
  built: Built
  variant: BuiltVariant
  wishes: Wishes
  key: string
  /** Another key that leads to it. */
  alias: string | undefined
  /** Those who wait for it. */
  flight: Flight | undefined
  /** The number of the last purge, when it began. */
  mark: number
  credential: boolean
  /** Hears of it, once it is kept. */
  kept?: ((entry: Entry) => void) | undefined
  /** What is kept for it, and may not be given as it is. */
  old: Entry | undefined
  /** The backend is asked whether that still holds. */
  revalidates: boolean
  /** Whether it may stand in for a backend that fails; undefined: it may not. */
  settles: (() => boolean) | undefined
  /** Milliseconds since the epoch. */
  asked: number
}>

/** Names by which several answers to one request may be told apart. */
const varyMax = 16

/** Keeps an answer on its way to the client, where it may be kept. It goes on as it comes. */
export function recording(quest: Quest): Stage {
  return (to) => new Recording(to, quest)
}

/** `answered`: milliseconds since the epoch. */
type Head = Terms & Readonly<{ status: number; headers: FlatHeaders; answered: number }>

class Recording implements AnswerHandler {
  readonly #to: AnswerHandler
  readonly #quest: Quest
  /** What is given in place of what comes, once that is over. */
  #instead: (() => void) | undefined
  #head: Head | undefined
  readonly #pieces: Buffer[] = []
  #size = 0
  #held = 0

  constructor(to: AnswerHandler, quest: Quest) {
    this.#to = to
    this.#quest = quest
    quest.exchange.onEnd(() => {
      if (!quest.exchange.orphaned) this.#leave('failed')
    })
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    const { exchange, built: { cache: { policy } }, variant, old, revalidates } = this.#quest
    const answered = Date.now()
    const headers = keptHeaders(rawHeaders)
    if (old !== undefined && revalidates && status === 304) {
      this.#instead = () => this.#confirm(old, headers, answered)
      return
    }
    const said = statusSaid(status, rawHeaders, isGrpc(valueOf(exchange.received.headers, 'content-type')))
    if (old !== undefined && failures.has(said) && this.#quest.settles?.() === true) {
      this.#instead = () => this.#settle(old, `status ${said}`)
      return
    }
    const terms = exchange.variant === variant ? this.#terms(status, headers, answered) : 'another variant answers'
    const length = Number(valueOf(headers, 'content-length') ?? 0)
    if (typeof terms === 'string' || length > policy.maxEntryBytes || !this.#hold(length)) this.#leave('unkept')
    else this.#head = { ...terms, status, headers, answered }
    this.#to.onResponseStart(controller, status, rawHeaders)
  }

  #terms(status: number, headers: FlatHeaders, answered: number): Terms | string {
    const { exchange: { method }, built: { cache: { policy } }, credential, asked } = this.#quest
    return termsOf(status, headers, { method, credential, revalidates: method === 'GET' }, policy, asked, answered)
  }

  /** What is kept still holds, and has what the backend says of it now (RFC 9111 section 4.3.4). */
  #confirm(old: Entry, said: FlatHeaders, answered: number): void {
    const { exchange, variant, built: { cache }, key, mark } = this.#quest
    const headers = updated(old.headers, said)
    const terms = this.#terms(old.status, headers, answered)
    const entry: Entry = { ...old, ...(typeof terms === 'string' ? {} : terms), headers: lasting(headers), storedAt: answered, mark, age: typeof terms === 'string' ? 0 : terms.age }
    const kept = typeof terms !== 'string' && exchange.variant === variant && mark >= cache.floor && put(entry, this.#quest)
    if (!kept) cache.memory.delete(key)
    this.#leave(kept ? 'kept' : 'unkept')
    this.#give(entry, { result: 'hit', why: 'confirmed' })
  }

  #settle(old: Entry, why: string): void {
    this.#leave('stale')
    this.#give(old, { result: 'stale', why })
  }

  #give(entry: Entry, as: Readonly<{ result: 'hit' | 'stale'; why: string }>): void {
    const { exchange, built, wishes } = this.#quest
    markGiven(exchange, entry, built, as)
    const { status, headers, body, trailers = [] } = madeOf(entry, exchange.method, wishes, Date.now())
    this.#to.onResponseStart(unhurried, status, headers)
    if (body.length > 0) this.#to.onResponseData(unhurried, body)
    this.#to.onResponseEnd(unhurried, trailers)
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#instead !== undefined) return
    if (this.#head !== undefined) {
      this.#size += chunk.length
      // The rest of what was announced is held already.
      if (this.#size > this.#quest.built.cache.policy.maxEntryBytes || !this.#hold(this.#size - this.#held)) this.#leave('unkept')
      else this.#pieces.push(Buffer.from(chunk))
    }
    this.#to.onResponseData(controller, chunk)
  }

  onResponseFlush(): boolean {
    return this.#instead === undefined && this.#to.onResponseFlush()
  }

  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void {
    if (this.#instead !== undefined) {
      this.#instead()
      return
    }
    if (this.#head !== undefined) this.#keep(this.#head, rawTrailers)
    this.#to.onResponseEnd(controller, rawTrailers)
  }

  onResponseError(error: Error): void {
    if (this.#instead !== undefined) {
      this.#instead()
      return
    }
    this.#leave('failed')
    this.#to.onResponseError(error)
  }

  #hold(bytes: number): boolean {
    if (bytes <= 0) return true
    if (!this.#quest.built.cache.hold(bytes)) return false
    this.#held += bytes
    return true
  }

  /** It is not kept, or it is: what was held for it is not needed any more. */
  #leave(landing: Landing): void {
    const { built: { cache }, flight, key } = this.#quest
    this.#head = undefined
    this.#pieces.length = 0
    cache.release(this.#held)
    this.#held = 0
    if (landing === 'unkept') cache.flights.unkept(key, performance.now())
    flight?.land(landing)
  }

  #keep({ status, headers, answered, ...terms }: Head, rawTrailers: readonly string[]): void {
    const { exchange, built: { cache }, key, alias, mark } = this.#quest
    const trailers = keptHeaders(rawTrailers)
    const body = joinedPieces(this.#pieces, this.#size)
    if (!isWhole(exchange, headers, trailers, body)) {
      this.#leave('unkept')
      return
    }
    const entry: Entry = {
      ...terms, status, headers: lasting(headers), body, trailers: lasting(trailers), storedAt: answered, mark,
      backendSeconds: exchange.upstreamStartedAt === 0 ? 0 : (performance.now() - exchange.upstreamStartedAt) / 1000,
      ...(exchange.generated && { generated: exchange.generated }),
    }
    const kept = mark >= cache.floor && put(entry, this.#quest)
    if (kept && alias !== undefined) cache.memory.set(alias, { kind: 'alias', key })
    if (kept) this.#quest.kept?.(entry)
    this.#leave(kept ? 'kept' : 'unkept')
  }
}

function put(entry: Entry, { built: { cache }, key, exchange: { received, method } }: Quest): boolean {
  const share = method === 'POST'
  const vary = valueOf(entry.headers, 'vary')
  if (vary === undefined) return cache.keep(key, { kind: 'entry', entry }, share)
  const before = cache.memory.get(key)
  const names = [...new Set([...before?.kind === 'vary' ? before.names : [], ...vary.toLowerCase().split(',').map((name) => name.trim()).filter((name) => name !== '')])].sort()
  if (names.length > varyMax || !cache.keep(key, { kind: 'vary', names }, share)) return false
  return cache.keep(variedKey(key, names, received.headers), { kind: 'entry', entry }, share)
}

/** RFC 5861 section 4: a server that fails, or one before it that does not reach it. */
const failures = new Set([500, 502, 503, 504])

/** Takes no more than there is, which is all here. */
const unhurried: Controller = { pause() {}, resume() {}, abort() {} }

/** What is said of the bytes is as it was: they are the same (RFC 9111 section 3.2). */
const ofBytes = new Set(['content-length', 'content-encoding', 'content-range', 'content-md5', 'transfer-encoding', 'etag'])

function updated(before: Readonly<FlatHeaders>, said: FlatHeaders): FlatHeaders {
  const names = new Set(said.filter((name, i) => i % 2 === 0 && !ofBytes.has(name)))
  const of = (headers: Readonly<FlatHeaders>, keeps: (name: string) => boolean) => headers.filter((_, i) => keeps(headers[i - (i % 2)] ?? ''))
  return [...of(before, (name) => !names.has(name)), ...of(said, (name) => names.has(name))]
}

/** Without their spare room, and not in the pool that others share: what is kept is all that is held. */
function joinedPieces(pieces: readonly Buffer[], size: number): Buffer {
  const whole = Buffer.allocUnsafeSlow(size)
  let at = 0
  for (const piece of pieces) at += piece.copy(whole, at)
  return whole
}

/** End-to-end headers, but for those that the gateway says of each answer itself. */
function keptHeaders(raw: readonly string[]): FlatHeaders {
  const headers: FlatHeaders = []
  let nominated = ''
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const { name, kind } = known(raw[i] ?? '')
    const value = raw[i + 1] ?? ''
    if (kind === Kind.connection) nominated += `,${value.toLowerCase()}`
    else if ((kind === Kind.endToEnd || kind === Kind.contentLength) && !name.startsWith('x-modelroute-') && !tellsLoad(name)) headers.push(name, value)
  }
  if (nominated === '') return headers
  const dropped = new Set(nominated.split(',').map((name) => name.trim()))
  return headers.filter((_, i) => !dropped.has(headers[i - (i % 2)] ?? ''))
}

/** Texts that keep nothing else alive; its age is told anew each time, and so is its length. */
function lasting(headers: Readonly<FlatHeaders>): FlatHeaders {
  const kept: FlatHeaders = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (name !== 'age' && name !== 'content-length') kept.push(name, detached(headers[i + 1] ?? ''))
  }
  return kept
}

/** What tells that an answer is the whole of one that went well, beside its status. */
function isWhole({ path, received }: Exchange, headers: readonly string[], trailers: readonly string[], body: Buffer): boolean {
  if (isGrpc(valueOf(received.headers, 'content-type'))) return (valueOf(trailers, 'grpc-status') ?? valueOf(headers, 'grpc-status')) === '0'
  const streams = valueOf(headers, 'content-type')?.startsWith('text/event-stream') === true
  // Of a stream of the OpenAI API the last event says that there is no more: an error comes without it.
  return !streams || !isOpenAI(path) || body.subarray(-64).includes('[DONE]')
}

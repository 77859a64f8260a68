import type { Entry } from '../../cache/entry.ts'
import type { RuleCache } from '../../cache/caches.ts'
import type { Flight } from '../../cache/flights.ts'
import { termsOf, type Terms } from '../../cache/freshness.ts'
import type { Exchange, Stage } from '../../pipeline/exchange.ts'
import { known, Kind, valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { detached } from '../../pipeline/recalled.ts'
import type { BuiltVariant } from '../../pipeline/rule.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { isOpenAI } from '../../protocols/openai.ts'
import type { AnswerHandler, Controller } from '../../upstream/dispatch.ts'
import { tellsLoad } from '../../upstream/load/orca.ts'
import { variedKey } from './question.ts'
import type { Wishes } from './wishes.ts'

/** A request whose answer is to be kept. */
export type Quest = Readonly<{
  exchange: Exchange
  cache: RuleCache
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
  #head: Head | undefined
  readonly #pieces: Buffer[] = []
  #size = 0
  #held = 0

  constructor(to: AnswerHandler, quest: Quest) {
    this.#to = to
    this.#quest = quest
    quest.exchange.onEnd(() => this.#leave('failed'))
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    const { exchange, cache: { policy }, variant, credential, asked } = this.#quest
    const answered = Date.now()
    const headers = keptHeaders(rawHeaders)
    const terms = exchange.variant === variant ? termsOf(status, headers, { method: exchange.method, credential, revalidates: exchange.method === 'GET' }, policy, asked, answered)
      : 'another variant answers'
    const length = Number(valueOf(headers, 'content-length') ?? 0)
    if (typeof terms === 'string' || length > policy.maxEntryBytes || !this.#hold(length)) this.#leave('unkept')
    else this.#head = { ...terms, status, headers, answered }
    this.#to.onResponseStart(controller, status, rawHeaders)
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#head !== undefined) {
      this.#size += chunk.length
      // The rest of what was announced is held already.
      if (this.#size > this.#quest.cache.policy.maxEntryBytes || !this.#hold(this.#size - this.#held)) this.#leave('unkept')
      else this.#pieces.push(Buffer.from(chunk))
    }
    this.#to.onResponseData(controller, chunk)
  }

  onResponseFlush(): boolean {
    return this.#to.onResponseFlush()
  }

  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void {
    if (this.#head !== undefined) this.#keep(this.#head, rawTrailers)
    this.#to.onResponseEnd(controller, rawTrailers)
  }

  onResponseError(error: Error): void {
    this.#leave('failed')
    this.#to.onResponseError(error)
  }

  #hold(bytes: number): boolean {
    if (bytes <= 0) return true
    if (!this.#quest.cache.hold(bytes)) return false
    this.#held += bytes
    return true
  }

  /** It is not kept, or it is: what was held for it is not needed any more. */
  #leave(landing: 'kept' | 'unkept' | 'failed'): void {
    const { cache, flight, key } = this.#quest
    this.#head = undefined
    this.#pieces.length = 0
    cache.release(this.#held)
    this.#held = 0
    if (landing === 'unkept') cache.flights.unkept(key, performance.now())
    flight?.land(landing)
  }

  #keep({ status, headers, answered, ...terms }: Head, rawTrailers: readonly string[]): void {
    const { exchange, cache, key, alias, mark } = this.#quest
    const trailers = keptHeaders(rawTrailers)
    const body = joinedPieces(this.#pieces, this.#size)
    if (!isWhole(exchange, headers, trailers, body)) {
      this.#leave('unkept')
      return
    }
    const entry: Entry = {
      ...terms, status, headers: lasting(headers), body, trailers: lasting(trailers), storedAt: answered, mark,
      backendSeconds: exchange.upstreamStartedAt === 0 ? 0 : (performance.now() - exchange.upstreamStartedAt) / 1000,
    }
    const kept = mark >= cache.floor && put(entry, this.#quest)
    if (kept && alias !== undefined) cache.memory.set(alias, { kind: 'alias', key })
    this.#leave(kept ? 'kept' : 'unkept')
  }
}

function put(entry: Entry, { cache: { memory }, key, exchange: { received } }: Quest): boolean {
  const vary = valueOf(entry.headers, 'vary')
  if (vary === undefined) return memory.set(key, { kind: 'entry', entry })
  const before = memory.get(key)
  const names = [...new Set([...before?.kind === 'vary' ? before.names : [], ...vary.toLowerCase().split(',').map((name) => name.trim()).filter((name) => name !== '')])].sort()
  if (names.length > varyMax || !memory.set(key, { kind: 'vary', names })) return false
  return memory.set(variedKey(key, names, received.headers), { kind: 'entry', entry })
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

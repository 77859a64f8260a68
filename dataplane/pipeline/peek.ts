import type { BodyScan } from '../protocols/scan/scan.ts'
import { BadBody, bodyTimer, gone, readMax } from './body.ts'
import type { BodySink, DoorRequest } from './door.ts'
import { failure, requestTooLarge, type Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { lookFor, type Look, type Wants } from './looks.ts'
import type { BuiltRule } from './rule.ts'

/** What all bodies that are looked into may hold of memory together. Bytes. */
const heldMax = 268_435_456
let heldOfAll = 0

/**
 * Finds out what a request asks for, reading no more of its body than that takes. What was read is handed on before the
 * rest, which is watched on its way. At once where the body is here already. @returns why that cannot be told
 * @param rule whose times and sizes hold while it is not known which one it will be
 */
export function peek(exchange: Exchange, wants: Wants, rule: BuiltRule | undefined): Failure | undefined | Promise<Failure | undefined> {
  const look = lookFor(exchange.received, wants)
  if (look === undefined || 'code' in look) {
    if (look === undefined) exchange.looked(wants, undefined)
    return look
  }
  const settle = (why: Failure | undefined): Failure | undefined => {
    const fault = why ?? look.fault()
    if (fault === undefined) exchange.looked(wants, look)
    return fault
  }
  const { body } = exchange
  if (body === undefined && exchange.received.bodyLength !== 0) return read(exchange, look, rule).then(settle)
  const whole = wholeIn(look.scan, body ?? Buffer.alloc(0))
  return whole instanceof Promise ? whole.then(() => settle(undefined)) : settle(undefined)
}

/** The first bytes of a body that nobody has begun to read; who reads it then gets them again. Fewer, where it has no more. */
export async function readHead(exchange: Exchange, length: number, rule: BuiltRule): Promise<Buffer | Failure> {
  const scan = new HeadScan(length)
  return await read(exchange, { scan }, rule) ?? scan.head
}

class HeadScan implements BodyScan {
  readonly fault = undefined
  #missing: number
  #pieces: Buffer[] = []

  constructor(length: number) {
    this.#missing = length
  }

  get done(): boolean {
    return this.#missing === 0
  }

  get head(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  take(piece: Buffer): void {
    if (this.#missing === 0) return
    const part = piece.subarray(0, this.#missing)
    this.#missing -= part.length
    this.#pieces.push(part)
  }

  end(): void {}
}

function wholeIn(scan: BodyScan, body: Buffer): void | Promise<void> {
  const taken = scan.take(body)
  const end = () => scan.done || scan.fault !== undefined ? undefined : scan.end()
  return taken === undefined ? end() : taken.then(end)
}

/** Takes pieces until the look is decided, and puts a request that begins with them in the place of the client's. */
function read(exchange: Exchange, { scan }: Pick<Look, 'scan'>, rule: BuiltRule | undefined): Promise<Failure | undefined> {
  const { request, response, received } = exchange
  const { promise, resolve } = Promise.withResolvers<Failure | undefined>()
  const max = rule !== undefined && Number.isFinite(rule.requestMax) ? rule.requestMax : readMax
  const held: Buffer[] = []
  let size = 0
  let over = false
  let timer: NodeJS.Timeout | undefined
  // What came with its head is here before this runs, and needs none.
  queueMicrotask(() => {
    if (!over) timer = bodyTimer(exchange, rule, (late) => end(late, false))
  })
  /** All of it came at once: nothing has to be put in anybody's place. */
  function settleWhole(body: Buffer): void {
    over = true
    clearTimeout(timer)
    exchange.body = body
    exchange.bytesIn = body.length
    exchange.bodyTap?.(body, false)
    exchange.bodyTap?.(undefined, false)
    const settled = wholeIn(scan, body)
    if (settled === undefined) resolve(undefined)
    else void settled.then(() => resolve(undefined))
  }
  function end(outcome: Failure | undefined, complete: boolean): void {
    if (over) return
    over = true
    clearTimeout(timer)
    request.release()
    exchange.request = new Peeked(request, scan, held, complete)
    exchange.onEnd(() => { heldOfAll -= size })
    resolve(outcome)
  }
  const check = (): void => {
    if (scan.fault !== undefined || scan.done) end(undefined, false)
  }
  const finish = (): void => end(undefined, true)
  request.read({
    copies: true,
    data(chunk) {
      if (over) return true
      const piece = Buffer.from(chunk)
      if (size === 0 && piece.length === received.bodyLength && piece.length <= max) {
        settleWhole(piece)
        return true
      }
      size += piece.length
      heldOfAll += piece.length
      held.push(piece)
      const settled = scan.take(piece)
      if (settled !== undefined) {
        void settled.then(() => {
          check()
          if (!over) request.resume()
        })
        return false
      }
      check()
      if (!over && size > max) end(requestTooLarge(max), false)
      if (!over && heldOfAll > heldMax) end(crowded, false)
      return !over
    },
    pending: () => false,
    end() {
      const settled = scan.done || scan.fault !== undefined ? undefined : scan.end()
      if (settled === undefined) finish()
      else void settled.then(finish)
    },
    fail: () => end(gone, false),
  })
  if (received.expectsContinue && !exchange.continued) {
    exchange.continued = true
    response.writeContinue()
  }
  return promise
}

const crowded = failure('overloaded', 'More bodies are being looked into than there is room for.')

/** A request of which a part has been read: that comes first, then the rest, watched. */
class Peeked implements DoorRequest, BodySink {
  readonly #source: DoorRequest
  readonly #scan: BodyScan
  readonly #held: Buffer[]
  /** The client has sent all of it. */
  #complete: boolean
  #sink: BodySink | undefined
  #paused = false
  #reading = false
  #due = false
  /** A piece is being looked into, and what comes waits for that. */
  #waiting = false

  constructor(source: DoorRequest, scan: BodyScan, held: Buffer[], complete: boolean) {
    this.#source = source
    this.#scan = scan
    this.#held = held
    this.#complete = complete
  }

  get method(): string {
    return this.#source.method
  }

  get url(): string {
    return this.#source.url
  }

  get httpVersion(): string {
    return this.#source.httpVersion
  }

  get rawHeaders(): readonly string[] {
    return this.#source.rawHeaders
  }

  get remoteAddress(): string {
    return this.#source.remoteAddress
  }

  get encrypted(): boolean {
    return this.#source.encrypted
  }

  get copies(): boolean {
    return this.#sink?.copies ?? true
  }

  read(sink: BodySink): void {
    this.#sink = sink
    this.#paused = false
    this.#soon()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#soon()
  }

  release(): void {
    this.#sink = undefined
    if (this.#reading) this.#source.release()
    this.#reading = false
  }

  data(chunk: Buffer): boolean {
    const settled = this.#scan.take(chunk)
    if (settled === undefined) return this.#pass(chunk)
    this.#waiting = true
    this.#held.push(Buffer.from(chunk))
    void settled.then(() => {
      this.#waiting = false
      if (this.#scan.fault === undefined) this.#soon()
      else this.#refuse(this.#scan.fault)
    })
    return false
  }

  pending(): boolean {
    return this.#sink?.pending() ?? false
  }

  end(): void {
    this.#complete = true
    this.#reading = false
    this.#soon()
  }

  fail(error: Error): void {
    const sink = this.#sink
    this.#sink = undefined
    sink?.fail(error)
  }

  #pass(chunk: Buffer): boolean {
    if (this.#scan.fault !== undefined) {
      this.#refuse(this.#scan.fault)
      return false
    }
    if (this.#sink?.data(chunk) !== false) return true
    this.#paused = true
    return false
  }

  /** The rest of it says something else than what it was routed by: it is broken off, so that nobody takes it for whole. */
  #refuse(fault: string): void {
    const sink = this.#sink
    this.release()
    sink?.fail(new BadBody(failure('invalid_request', `The body ${fault}, so that it cannot be told what it asks for.`)))
  }

  #soon(): void {
    if (this.#due) return
    this.#due = true
    process.nextTick(deliver, this)
  }

  /** What is held, and then the rest from the client. */
  deliver(): void {
    this.#due = false
    while (this.#held.length > 0 && this.#sink !== undefined && !this.#paused && !this.#waiting) {
      const chunk = this.#held.shift()
      if (chunk !== undefined && !this.#sink.data(chunk)) this.#paused = true
    }
    if (this.#sink === undefined || this.#paused || this.#waiting || this.#held.length > 0) return
    if (this.#complete) {
      const sink = this.#sink
      this.#sink = undefined
      sink.end()
    } else if (this.#reading) this.#source.resume()
    else {
      this.#reading = true
      this.#source.read(this)
    }
  }
}

const deliver = (request: Peeked): void => request.deliver()

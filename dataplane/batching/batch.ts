import { randomUUID } from 'node:crypto'
import { Unreadable, worked } from '../json/text.ts'
import type { ErrorCode, Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import type { Batched } from '../pipeline/parts.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { isPlain } from '../protocols/encodings.ts'
import type { Series } from '../telemetry/series.ts'
import type { Spans } from '../telemetry/tracing/spans.ts'
import { carried } from '../translate/unary.ts'
import { callBackend, type Called } from '../upstream/call.ts'
import type { Made } from '../upstream/served.ts'
import type { Joined, Share, Single } from './single.ts'

/** How those of one kind are called. `callee`: a rule with the one variant of theirs. */
export type BatchCall = Readonly<{
  callee: BuiltRule
  /** Another variant may take a request that this one refuses. */
  passesOn: boolean
  series: Series
  /** For the choice of an endpoint: the first of them. */
  who: Pick<Exchange, 'principal' | 'clientAddress'>
  authority: string
  path: string
  query: string
  headers: FlatHeaders
  maxBytes: number
}>

/** What becomes of a request that waited. Undefined in place of an answer: it is to go alone. Milliseconds of `performance.now()`. */
export type Settled = Readonly<{ answer: Made | Failure | undefined; batched: Batched; startedAt: number; endedAt: number }>

/** A request that waits for others. */
export type Member = {
  readonly single: Single
  readonly bytes: number
  /** `performance.now()`. */
  readonly since: number
  batch: Batch | undefined
  /** Where its request is traced. */
  readonly spans: Spans | undefined
  settle(settled: Settled): void
}

/**
 * Errors of a call before which the backend did nothing, or that follow from putting it together: alone, each of its
 * requests goes the way of any other, with another variant, or with an error of its own.
 */
const ofCall = new Set<ErrorCode>([
  'no_endpoints', 'circuit_open', 'overloaded', 'backend_unresolved', 'upstream_connect_failed', 'request_too_large', 'response_too_large', 'invalid_request',
  'unsupported_translation',
])

/** Answers by which a server says something of all that it was asked, and not of one of its rows. */
const ofAll = new Set([401, 403, 404, 405, 407, 408, 421, 425, 429])

/** One call for several requests. */
export class Batch {
  rows = 0
  bytes = 0
  timer: NodeJS.Timeout | undefined
  readonly #call: BatchCall
  readonly #members = new Set<Member>()
  /** Nobody waits for it any more. */
  readonly #left = new AbortController()
  /** `performance.now()`; 0: it waits for more. */
  sentAt = 0

  constructor(call: BatchCall) {
    this.#call = call
  }

  get size(): number {
    return this.#members.size
  }

  add(member: Member): void {
    this.#members.add(member)
    member.batch = this
    this.rows += member.single.rows
    this.bytes += member.bytes
  }

  /** Before it is sent, without its rows; after, they are nobody's. */
  remove(member: Member): void {
    if (!this.#members.delete(member)) return
    if (this.sentAt > 0) {
      if (this.#members.size === 0) this.#left.abort()
    } else {
      this.rows -= member.single.rows
      this.bytes -= member.bytes
    }
  }

  /** @returns whether those of this kind can be joined, as far as this one showed it. Never rejects. */
  async send(): Promise<'joined' | 'apart' | undefined> {
    this.sentAt = performance.now()
    const all = [...this.#members]
    const [first] = all
    if (first === undefined) return undefined
    const startedAt = this.sentAt
    const id = randomUUID()
    const { rows } = this
    const tell = (member: Member, answer: Settled['answer'], result: Batched['result'], why?: string) => {
      const batched = { result, id, requests: all.length, rows, waited: startedAt - member.since, share: member.single.rows / rows, ...(why !== undefined && { why }) }
      if (this.#members.delete(member)) member.settle({ answer, batched, startedAt, endedAt: performance.now() })
    }
    const apart = (why: string) => {
      for (const member of all) tell(member, undefined, 'apart', why)
    }
    if (all.length === 1) {
      tell(first, undefined, 'alone')
      return undefined
    }
    // The call is a part of the first that is traced; the others say so.
    const carrier = all.find(({ spans }) => spans !== undefined)?.spans
    for (const { spans, since } of all) {
      spans?.took('batching wait', since)
      if (carrier !== undefined && spans !== carrier) spans?.joined(carrier)
    }
    const { series } = this.#call
    series.batches.called(rows, all.map(({ since }) => startedAt - since))
    try {
      const joined = first.single.join(all.map(({ single }) => single))
      const called = await this.#ask(joined, id, carrier)
      if ('code' in called) {
        if (ofCall.has(called.code)) apart(called.code)
        else for (const member of all) tell(member, called, 'joined')
        return undefined
      }
      const { status, headers } = called
      if (status === 200 && isPlain(valueOf(headers, 'content-encoding'))) {
        const shares = await worked(joined.split(called), called.body.length)
        if (shares !== undefined && !(shares instanceof Unreadable)) {
          for (const [i, member] of all.entries()) tell(member, madeOf(called, shares[i]), 'joined')
          return 'joined'
        }
        apart('its answer cannot be told apart')
        return 'apart'
      }
      const told = ofAll.has(status) || status === 503 ? !this.#call.passesOn : status > 500
      if (!told) {
        apart(`status ${status}`)
        return 'apart'
      }
      for (const member of all) tell(member, madeOf(called, undefined), 'joined')
      return undefined
    } catch (error) {
      apart(String(error))
      return 'apart'
    }
  }

  #ask({ headers, body }: Joined, id: string, spans: Spans | undefined): Promise<Called | Failure> {
    const { callee, who, authority, path, query, headers: common, maxBytes } = this.#call
    const own: FlatHeaders = [...headers, 'x-request-id', id]
    for (let i = 0; i < common.length; i += 2) if (common[i] !== 'content-type') own.push(common[i] ?? '', common[i + 1] ?? '')
    return callBackend(callee, { method: 'POST', authority, path, query, headers: own, body }, { outer: undefined, who, counted: false, maxBytes, signal: this.#left.signal, spans })
  }
}

/** What one of those that were called together is answered; without a share of its own, with what all are. */
function madeOf({ status, headers, body, trailers }: Called, share: Share | undefined): Made {
  const all = carried(headers)
  const beside: FlatHeaders = []
  // A cookie would be one caller's, and it is not known whose.
  for (let i = 0; i < all.length; i += 2) if (all[i] !== 'set-cookie') beside.push(all[i] ?? '', all[i + 1] ?? '')
  const type = valueOf(headers, 'content-type')
  return share === undefined
    ? { status, headers: [...beside, ...(type === undefined ? [] : ['content-type', type])], body, trailers }
    : { status, headers: [...beside, ...share.headers], body: share.body, trailers }
}

import { answerPreflight, isPreflight } from '../filters/cors/preflight.ts'
import { requestIdOf } from '../filters/request_id/request_id.ts'
import { protocolOf } from '../protocols/path.ts'
import type { Outcome } from '../filters/filter.ts'
import type { Pages } from '../server.ts'
import type { Runtime } from '../runtime.ts'
import type { Recorder } from '../telemetry/recorder.ts'
import type { Spans } from '../telemetry/tracing/spans.ts'
import type { Tracing } from '../telemetry/tracing/tracing.ts'
import { Forwarding } from '../upstream/forward.ts'
import { tunnelFault } from '../upstream/tunnel-request.ts'
import { Tunnel, type Opened } from '../upstream/tunnel.ts'
import { Conversation, isConversation } from '../upstream/conversation.ts'
import { assign, destinationOf, noBackend, type Destination } from '../upstream/destination.ts'
import { cutOf } from './cut.ts'
import type { DoorRequest, DoorResponse } from './door.ts'
import { Ending } from './ending.ts'
import { errors, failure, type Failure } from './errors.ts'
import { Exchange, type Received, type Way } from './exchange.ts'
import type { Geo } from './geo.ts'
import { Kind, valueOf } from './headers.ts'
import { trailOf } from './hops.ts'
import { isUnread } from './match.ts'
import type { Networks } from './networks.ts'
import { inDoubt } from './asked.ts'
import { peek } from './peek.ts'
import { refuseExchange, replyError } from './reply.ts'
import type { Verdict } from './principal.ts'
import type { BuiltRule } from './rule.ts'
import { traceOf } from './trace.ts'
import { chooseVariant } from './variant.ts'

export type GatewayDeps = Readonly<{
  runtime: Runtime
  recorder: Recorder
  /** Undefined: requests are not traced. */
  tracing?: Tracing | undefined
  /** Connections are to end with the answer: the process is about to. */
  draining: () => boolean
  /** Whether a request is to be refused because there is more to do than can be done. */
  shed: () => boolean
  /** Hops whose word is taken for where a request came from. */
  trusted: Networks | undefined
  /** Where callers are. */
  geo?: Geo | undefined
  /** What the gateway answers itself. */
  pages?: Pages | undefined
}>

/** @param received what the screen made of it, or what is wrong with it: then it is answered with that */
export type Gateway = (request: DoorRequest, response: DoorResponse, received: Received | Failure, opened?: Opened) => void

/** The way of a request that a door has screened: match → filters → variant → forward. It waits only for the network. */
export function createGateway({ runtime, recorder, tracing, draining, shed, trusted, geo, pages }: GatewayDeps): Gateway {
  const { hold } = recorder
  return function gateway(request, response, received, opened?: Opened) {
    const startedAt = performance.now()
    if (draining()) response.shouldKeepAlive = false
    if ('code' in received) {
      refuseUnscreened(request, response, received, startedAt)
      return
    }
    const table = runtime.table()
    const requestId = requestIdOf(valueOf(received.headers, 'x-request-id'))
    const exchange = new Exchange(request, response, received, table?.version ?? '', requestId, startedAt)
    if (trusted !== undefined) trace(exchange, trusted)
    if (tracing !== undefined) tracing.begin(exchange)
    else if ((received.seen & (1 << Kind.trace)) !== 0) exchange.trace = traceOf(received.headers)
    exchange.geo = geo
    follow(exchange)
    const outcome = pages?.before(exchange.path) === true && opened === undefined ? pages.open(exchange, table).then((page) => page ?? unmatched(exchange, []))
      : table === undefined ? notReady : shed() ? overloaded : serve(exchange, table, opened, pages)
    if (outcome instanceof Promise) outcome.then((settled) => proceed(exchange, settled), (error: unknown) => giveUp(exchange, error))
    else proceed(exchange, outcome)
  }

  function refuseUnscreened(request: DoorRequest, response: DoorResponse, why: Failure, startedAt: number): void {
    const received = { ...unscreened, method: request.method }
    const exchange = new Exchange(request, response, received, '', requestIdOf(undefined), startedAt)
    follow(exchange)
    exchange.error = why.code
    // What could not be read for certain leaves the connection in doubt.
    response.shouldKeepAlive = false
    const path = /^[^?#]*/.exec(request.url)?.[0] ?? ''
    replyError(exchange, why, protocolOf(path))
  }

  function follow(exchange: Exchange): void {
    const { response } = exchange
    response.once('close', () => {
      if (exchange.ended) return
      if (!response.writableFinished && !exchange.upgraded && exchange.error === undefined) blame(exchange)
      finish(exchange)
    })
    if (hold !== undefined) response.witness = new Ending(exchange, finish, hold)
  }

  function finish(exchange: Exchange): void {
    exchange.way?.clientClosed()
    exchange.end()
    if (exchange.way !== undefined && exchange.series) exchange.series.inFlight--
    recorder.record(exchange, statusOf(exchange))
  }
}

/** Takes the word of trusted hops for where a request came from. */
export function trace(exchange: Exchange, trusted: Networks): void {
  const { headers, seen } = exchange.received
  const trail = trailOf(exchange.clientAddress, headers, seen, trusted)
  if (trail === undefined) return
  exchange.trail = trail
  exchange.clientAddress = trail.addresses[0] ?? exchange.clientAddress
}

function proceed(exchange: Exchange, outcome: Way | Failure): void {
  if (exchange.ended) return
  if ('code' in outcome) {
    refuse(exchange, outcome)
    return
  }
  exchange.way = outcome
  if (exchange.series) exchange.series.inFlight++
  outcome.start()
}

/** A filter failed in a way that it does not know of itself: this request ends, and the others go on. */
function giveUp(exchange: Exchange, error: unknown): void {
  exchange.error ??= 'invalid_request'
  exchange.cause = String(error)
  exchange.response.destroy()
}

/** Who ended what did not come to its end: the client, unless the door says that it did. */
function blame(exchange: Exchange): void {
  const cut = cutOf(exchange.response)
  exchange.error = cut?.code ?? 'client_closed'
  if (cut !== undefined) exchange.cause = cut.cause
}

const overloaded = failure('overloaded', 'The gateway has more to do than it can.')
const notReady = failure('no_endpoints', 'The gateway has no routing table yet.')

const unscreened: Received = {
  method: '', host: '', authority: '', path: '', query: '', headers: [], seen: 0, bodyLength: 0, expectsContinue: false,
  persistent: false, again: undefined,
}

function statusOf({ error, response }: Exchange): number {
  return error === 'client_closed' || (error !== undefined && !response.headersSent) ? errors[error].status : response.statusCode
}

function refuse(exchange: Exchange, why: Failure): void {
  const { response, received } = exchange
  exchange.error = why.code
  // Without its leave the client sends no body; the connection cannot be used again without knowing.
  if (received.expectsContinue && !exchange.continued) response.shouldKeepAlive = false
  refuseExchange(exchange, why)
}

type Table = NonNullable<ReturnType<Runtime['table']>>

function serve(exchange: Exchange, table: Table, opened: Opened | undefined, pages: Pages | undefined): Way | Failure | Promise<Way | Failure> {
  const fault = opened && tunnelFault(exchange)
  if (fault !== undefined) return fault
  if (isPreflight(exchange)) {
    const shared = preflight(exchange, table)
    if (shared !== undefined) return shared
  }
  const found = findKnown(exchange, table)
  return found instanceof Promise
    ? found.then((settled) => {
      exchange.spans?.took('match', exchange.startedAt)
      return enter(exchange, table, settled, opened, pages)
    })
    : enter(exchange, table, found, opened, pages)
}

function preflight(exchange: Exchange, table: Table): Way | undefined {
  const found = table.shared(exchange, exchange.header('access-control-request-method') ?? '')
  if (found?.rule.cors === undefined) return undefined
  exchange.rule = found.rule
  exchange.series = found.rule.series(found.candidate.model, undefined)
  return answerPreflight(exchange, found.rule.cors)
}

type Found = ReturnType<Table['find']>

/** The match that serves the request. Where one asks who calls, or what the body says, that is found out before it is believed. */
export function findKnown(exchange: Exchange, table: Table): Found | Failure | Promise<Found | Failure> {
  for (;;) {
    const found = table.find(exchange)
    const authenticate = found?.candidate.caller?.authenticate
    if (authenticate === undefined || exchange.verdict(authenticate) !== undefined) {
      if (found?.candidate.looks !== true) return found
      if (!isUnread(found.candidate, exchange)) return found.candidate.model !== undefined && exchange.modelInDoubt ? inDoubt : found
      const fault = peek(exchange, found.wants, found.rule)
      if (fault instanceof Promise) return fault.then((settled) => settled ?? findKnown(exchange, table))
      if (fault !== undefined) return fault
      continue
    }
    const verdict = exchange.authenticated(authenticate)
    if (verdict instanceof Promise) return verdict.then((settled) => unknown(settled) ?? findKnown(exchange, table))
    const fault = unknown(verdict)
    if (fault !== undefined) return fault
  }
}

/** A wrong credential is none, and another match may serve it; but what cannot be told must not choose another one. */
function unknown(verdict: Verdict): Failure | undefined {
  return 'code' in verdict && verdict.code === 'auth_unavailable' ? verdict : undefined
}

function enter(
  exchange: Exchange,
  table: Table,
  found: Found | Failure,
  opened: Opened | undefined,
  pages: Pages | undefined,
): Way | Failure | Promise<Way | Failure> {
  if (found === undefined) {
    const allow = table.methods(exchange)
    if (opened !== undefined || pages?.after(exchange.path) !== true) return unmatched(exchange, allow)
    return pages.open(exchange, table).then((page) => page ?? unmatched(exchange, allow))
  }
  if ('code' in found) return found
  const { rule, candidate } = found
  exchange.rule = rule
  exchange.asked = candidate.model
  const refused = exchange.spans === undefined ? runFilters(exchange, rule.filters, 0) : traceFilters(exchange, rule, exchange.spans, 0)
  return refused instanceof Promise
    ? refused.then((settled) => leave(exchange, rule, settled, opened))
    : leave(exchange, rule, refused, opened)
}

function runFilters(exchange: Exchange, filters: BuiltRule['filters'], from: number): Outcome | Promise<Outcome> {
  for (let i = from; i < filters.length; i++) {
    const outcome = filters[i]?.(exchange)
    if (outcome === undefined) continue
    return outcome instanceof Promise ? outcome.then((refused) => refused ?? runFilters(exchange, filters, i + 1)) : outcome
  }
  return undefined
}

/** The same, with the time that each takes. */
function traceFilters(exchange: Exchange, rule: BuiltRule, spans: Spans, from: number): Outcome | Promise<Outcome> {
  for (let i = from; i < rule.filters.length; i++) {
    spans.enter(rule.filterNames[i] ?? '')
    const outcome = rule.filters[i]?.(exchange)
    if (outcome instanceof Promise) {
      return outcome.then((refused) => {
        spans.leave(exchange, refused)
        return refused ?? traceFilters(exchange, rule, spans, i + 1)
      })
    }
    spans.leave(exchange, outcome)
    if (outcome !== undefined) return outcome
  }
  return undefined
}

function leave(exchange: Exchange, rule: BuiltRule, refused: Outcome, opened: Opened | undefined): Way | Failure | Promise<Way | Failure> {
  const variant = refused === undefined ? chooseVariant(exchange, rule) : exchange.variant
  if (refused !== undefined || variant === undefined) {
    if (variant === undefined) exchange.series = rule.series(exchange.asked, variant)
    else assign(exchange, rule, variant)
    return refused ?? noBackend
  }
  assign(exchange, rule, variant)
  if (variant.protocol !== undefined && opened === undefined && isConversation(exchange, variant.protocol)) return new Conversation(exchange, rule, variant)
  const to = destinationOf(exchange, rule, variant)
  return to instanceof Promise ? to.then((settled) => wayTo(exchange, rule, settled, opened)) : wayTo(exchange, rule, to, opened)
}

function wayTo(exchange: Exchange, rule: BuiltRule, to: Destination | Failure, opened: Opened | undefined): Way | Failure {
  if (opened === undefined) return 'code' in to && rule.next === undefined ? to : new Forwarding(exchange, rule, to)
  return 'code' in to ? to : new Tunnel(exchange, to, opened)
}

function unmatched(exchange: Exchange, allow: readonly string[]): Failure {
  if (allow.length === 0) return failure('no_route', `No route matches ${exchange.method} ${exchange.path}.`)
  return { code: 'method_not_allowed', detail: `${exchange.method} is not served here.`, allow }
}

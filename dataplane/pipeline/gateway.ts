import type { IncomingMessage, ServerResponse } from 'node:http'
import { requestIdOf } from '../filters/request_id/request_id.ts'
import { protocolOf, renameModel } from '../protocols/path.ts'
import type { Runtime } from '../runtime.ts'
import type { Recorder } from '../telemetry/recorder.ts'
import { Forwarding } from '../upstream/forward.ts'
import { Tunnel, tunnelFault, type Opened } from '../upstream/tunnel.ts'
import { gatherMax } from '../upstream/body.ts'
import { errors, failure, requestTooLarge, type Failure } from './errors.ts'
import { Exchange, type Received } from './exchange.ts'
import { isPlainValue, valueOf, type FlatHeaders } from './headers.ts'
import { replyError } from './reply.ts'
import type { BuiltRule, BuiltVariant } from './rule.ts'
import { screen } from './screen.ts'

export type GatewayDeps = Readonly<{
  runtime: Runtime
  recorder: Recorder
  /** Connections are to end with the answer: the process is about to. */
  draining: () => boolean
}>

/** @param fault what is wrong with it as the door saw it: it is answered with that */
export type Gateway = (request: IncomingMessage, response: ServerResponse, expectsContinue?: boolean, fault?: Failure, opened?: Opened) => void

/** The way of a request: screen → match → filters → variant → forward. Nothing on it waits but for the network. */
export function createGateway({ runtime, recorder, draining }: GatewayDeps): Gateway {
  return function gateway(request, response, expectsContinue = false, fault?: Failure, opened?: Opened) {
    const startedAt = performance.now()
    if (draining()) response.shouldKeepAlive = false
    const received = fault ?? screen(request, expectsContinue)
    if ('code' in received) {
      refuseUnscreened(request, response, received, startedAt)
      return
    }
    const table = runtime.table()
    const requestId = requestIdOf(valueOf(received.headers, 'x-request-id'))
    const exchange = new Exchange(request, response, received, table?.version ?? '', requestId, startedAt)
    const outcome = table === undefined ? notReady : serve(exchange, table, opened)
    follow(exchange, 'code' in outcome ? undefined : outcome)
    if ('code' in outcome) refuse(exchange, outcome)
    else outcome.start()
  }

  function refuseUnscreened(request: IncomingMessage, response: ServerResponse, why: Failure, startedAt: number): void {
    const received = { ...unscreened, method: request.method ?? '' }
    const exchange = new Exchange(request, response, received, '', requestIdOf(undefined), startedAt)
    follow(exchange, undefined)
    exchange.error = why.code
    // What could not be read for certain leaves the connection in doubt.
    response.shouldKeepAlive = false
    const path = /^[^?#]*/.exec(request.url ?? '')?.[0] ?? ''
    replyError(response, why, protocolOf(path), exchange.requestId)
  }

  function follow(exchange: Exchange, forwarding: Forwarding | Tunnel | undefined): void {
    const { response, series } = exchange
    if (series) series.inFlight++
    response.on('error', ignore)
    response.once('close', () => {
      if (series) series.inFlight--
      if (!response.writableFinished && !exchange.upgraded && exchange.error === undefined) exchange.error = 'client_closed'
      forwarding?.clientClosed()
      recorder.record(exchange, statusOf(exchange))
    })
  }
}

const notReady = failure('no_endpoints', 'The gateway has no routing table yet.')

const unscreened: Received = {
  method: '', host: '', authority: '', path: '', query: '', headers: [], seen: 0, bodyLength: 0, expectsContinue: false,
}

/** The client is told by the closing of its connection; there is nothing more to do about it. */
function ignore(): void {}

function statusOf({ error, response }: Exchange): number {
  return error === 'client_closed' ? errors.client_closed.status : response.statusCode
}

function refuse(exchange: Exchange, why: Failure): void {
  const { response, received, variant } = exchange
  exchange.error = why.code
  // Without its leave the client sends no body; the connection cannot be used again without knowing.
  if (received.expectsContinue) response.shouldKeepAlive = false
  const extra = variant === undefined ? [] : ['x-modelroute-variant', variant.name]
  replyError(response, why, exchange.protocol, exchange.requestId, extra)
}

function serve(exchange: Exchange, table: NonNullable<ReturnType<Runtime['table']>>, opened: Opened | undefined): Forwarding | Tunnel | Failure {
  const fault = opened && tunnelFault(exchange)
  if (fault !== undefined) return fault
  const found = table.find(exchange)
  if (found === undefined) return unmatched(exchange, table.methods(exchange))
  const { rule, candidate } = found
  exchange.rule = rule
  for (const run of rule.filters) {
    const refused = run(exchange)
    if (refused !== undefined) {
      exchange.series = rule.series(candidate.model, undefined)
      return refused
    }
  }
  const variant = rule.choose(exchange.received.headers)
  exchange.variant = variant
  exchange.series = rule.series(candidate.model, variant)
  if (variant === undefined) return failure('no_endpoints', 'No backend of this route takes requests.')
  const version = variant.model?.version ?? exchange.model()?.version
  // The path may name any; only what can stand in a header is sent back in one.
  if (version !== undefined && isPlainValue(version)) exchange.modelVersion = version
  return destination(exchange, rule, variant, opened)
}

function destination(
  exchange: Exchange,
  rule: BuiltRule,
  variant: BuiltVariant,
  opened: Opened | undefined,
): Forwarding | Tunnel | Failure {
  const { received } = exchange
  if (variant.target.kind === 'unresolved') {
    exchange.cause = variant.target.why
    return failure('backend_unresolved', 'The backend of this request does not resolve.')
  }
  const { group, host } = variant.target
  if (group.members.length === 0) return failure('no_endpoints', 'The backend has no ready endpoint.')
  const path = variant.model === undefined ? received.path : renameModel(received.path, variant.model)
  if (typeof path !== 'string') return path
  const headers: FlatHeaders = received.headers
  const authority = host ?? received.authority
  if (authority !== '') headers.push('host', authority)
  const { bodyLength } = received
  if (bodyLength !== 'chunked' && bodyLength > rule.requestMax) return requestTooLarge(rule.requestMax)
  if (bodyLength !== 'chunked' && bodyLength > gatherMax) headers.push('content-length', String(bodyLength))
  const to = { rule, variant, group, path: path + received.query, headers }
  return opened === undefined ? new Forwarding(exchange, to) : new Tunnel(exchange, to, opened)
}

function unmatched(exchange: Exchange, allow: readonly string[]): Failure {
  if (allow.length === 0) return failure('no_route', `No route matches ${exchange.method} ${exchange.path}.`)
  return { code: 'method_not_allowed', detail: `${exchange.method} is not served here.`, allow }
}

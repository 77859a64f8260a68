import type { Attributes } from '@opentelemetry/api'
import { errors } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import type { StepRecord } from '../../pipeline/parts.ts'
import type { TryOutcome } from '../../upstream/backend.ts'
import type { Upstream } from '../../upstream/pool.ts'

/**
 * What spans say: the conventions of OpenTelemetry for HTTP, and `modelroute.*`. Fields are named one by one. No header but
 * Host, no query and no body is among them: keys and prompts travel there.
 */

/** Characters of what callers choose the length of. */
const textMax = 1024
const bounded = (text: string): string => (text.length > textMax ? text.slice(0, textMax) : text)

const methods = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'])
/** Of those that callers make up there is no end. */
export const methodOf = (method: string): string => (methods.has(method) ? method : '_OTHER')

/** `namespace/route/rule`: what `http.route` is here. */
export const routeOf = ({ rule }: Exchange): string | undefined => rule && `${rule.route}/${rule.name}`

/** A request, and what it came to. @param status as the log has it: 499 of one whose client left */
export function served(exchange: Exchange, status: number): Attributes {
  const { method, path, host, requestId, clientAddress, request, received: { authority } } = exchange
  const { rule, variant, modelVersion, error, cached, batched, fallback, tries, response } = exchange
  const route = routeOf(exchange)
  const port = /:(?<port>\d{1,5})$/.exec(authority)?.groups?.['port']
  return {
    'http.request.method': methodOf(method),
    'http.response.status_code': status,
    'url.scheme': request.encrypted ? 'https' : 'http',
    'url.path': bounded(path),
    'network.protocol.version': request.httpVersion,
    'client.address': clientAddress,
    'modelroute.request_id': requestId,
    ...(request.remoteAddress !== clientAddress && { 'network.peer.address': request.remoteAddress }),
    ...(host !== '' && { 'server.address': bounded(host) }),
    ...(port !== undefined && { 'server.port': Number(port) }),
    ...(route !== undefined && rule && { 'http.route': route, 'modelroute.route': rule.route, 'modelroute.rule': rule.name }),
    ...(variant && { 'modelroute.variant': variant.name }),
    ...(modelVersion !== undefined && { 'modelroute.model_version': bounded(modelVersion) }),
    ...(tries > 1 && { 'modelroute.tries': tries }),
    ...(fallback !== undefined && { 'modelroute.fallback': fallback }),
    ...(cached && { 'modelroute.cache': cached.result }),
    ...(batched && { 'modelroute.batch': batched.result }),
    ...(response.grpcStatus !== undefined && { 'rpc.system.name': 'grpc', 'rpc.status_code': String(response.grpcStatus) }),
    ...(failing(exchange, status) && { 'error.type': error ?? String(status) }),
  }
}

/** It went wrong here or behind us, or its client did not wait for the end: what the caller did wrong is no failure of a server. */
export const failing = ({ error }: Exchange, status: number): boolean =>
  status >= 500 || (error !== undefined && (error === 'client_closed' || errors[error].status >= 500))

/** Of a filter that took time. @param code why it let the request go no further */
export function filtered({ cached, batched }: Exchange, name: string, code: string | undefined): Attributes {
  return {
    'modelroute.filter': name,
    ...(name === 'cache' && cached && { 'modelroute.cache': cached.result, ...(cached.similarity !== undefined && { 'modelroute.cache.similarity': cached.similarity }) }),
    ...(name === 'batching' && batched && { 'modelroute.batch': batched.result }),
    ...(name === 'batching' && batched?.id !== undefined && { 'modelroute.batch.id': batched.id }),
    ...(name === 'batching' && batched?.requests !== undefined && { 'modelroute.batch.requests': batched.requests }),
    ...(name === 'batching' && batched?.rows !== undefined && { 'modelroute.batch.rows': batched.rows }),
    ...(code !== undefined && { 'error.type': code }),
  }
}

export function stepped({ name, result, status, calls }: StepRecord): Attributes {
  return {
    'modelroute.step': name, 'modelroute.step.result': result, 'modelroute.step.calls': calls,
    ...(status > 0 && { 'http.response.status_code': status }),
    ...(result === 'failed' && { 'error.type': 'step_failed' }),
  }
}

/** Who is asked, and for what. */
export function asked(upstream: Upstream, method: string, target: string): Attributes {
  const { origin, at } = upstream.address
  const { hostname, port, protocol } = new URL(origin)
  const address = hostname.replace(/^\[|\]$/g, '')
  const query = target.indexOf('?')
  return {
    'http.request.method': methodOf(method),
    'url.full': bounded(origin + (query === -1 ? target : target.slice(0, query))),
    'server.address': address,
    'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
    ...(at && { 'network.peer.address': at.first.address }),
  }
}

const whyFailed = { connect: 'upstream_connect_failed', reset: 'upstream_reset', timeout: 'timeout', protocol: 'upstream_protocol' } as const

/** What came of a try. A status from 400 on is an error to who asked. */
export function tried(outcome: TryOutcome): Attributes {
  if (outcome.kind === 'cancelled') return { 'modelroute.cancelled': true }
  if (outcome.kind === 'failed') return { 'error.type': whyFailed[outcome.why] }
  const { status } = outcome
  const grpc = grpcStatusIn(outcome.trailers) ?? grpcStatusIn(outcome.headers)
  return {
    'http.response.status_code': status,
    ...(status >= 400 && { 'error.type': String(status) }),
    ...(grpc !== undefined && { 'rpc.system.name': 'grpc', 'rpc.status_code': grpc, ...(grpc !== '0' && { 'error.type': grpc }) }),
  }
}

function grpcStatusIn(raw: readonly string[]): string | undefined {
  for (let i = 0; i + 1 < raw.length; i += 2) if (raw[i]?.toLowerCase() === 'grpc-status') return /^\d{1,2}$/.exec(raw[i + 1] ?? '')?.[0]
  return undefined
}

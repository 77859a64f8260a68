import type { Batching } from '../../table/batching.ts'
import { joined } from '../cache/key.ts'
import type { FlatHeaders } from '../pipeline/headers.ts'
import type { Exchange } from '../pipeline/exchange.ts'

/**
 * What tells one request from another and makes no difference to its answer: who carried it and how, and what traces it.
 * `accept-encoding` too: the answer of a call is read here.
 */
const ofOne = new Set([
  'accept-encoding', 'b3', 'baggage', 'content-length', 'date', 'forwarded', 'grpc-timeout', 'inference-header-content-length', 'traceparent', 'tracestate',
  'uber-trace-id', 'user-agent', 'via', 'x-cloud-trace-context', 'x-real-ip', 'x-request-id',
])
/** What a backend is told of the caller. */
const identity = new Set(['x-modelroute-consumer', 'x-modelroute-groups', 'x-modelroute-tier'])

/** What the head of a request says for all that may go with it. */
export type Head = Readonly<{
  /** The same for all of them. */
  key: string
  /** What the backend is told. */
  headers: FlatHeaders
}>

/** @param deadline the header in which callers say how long they wait: each is held to it here */
export function headOf({ received }: Exchange, variant: string, { scope }: Batching, deadline: string | undefined): Head {
  const headers: FlatHeaders = []
  for (let i = 0; i < received.headers.length; i += 2) {
    const name = received.headers[i] ?? ''
    if (ofOne.has(name) || name.startsWith('x-forwarded-') || name.startsWith('x-b3-') || name === deadline) continue
    if (scope === 'Tenant' && identity.has(name)) continue
    headers.push(name, received.headers[i + 1] ?? '')
  }
  const { authority, path, query } = received
  return { key: joined([variant, authority, path, query, ...headers]), headers }
}

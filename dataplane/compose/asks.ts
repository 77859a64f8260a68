import { randomUUID } from 'node:crypto'
import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import type { Ask } from '../upstream/call.ts'
import type { BuiltStep } from './graph.ts'

/** What a call is made of: a body, and what is said of it. `made`: it is nobody's but the call's. */
export type Content = Readonly<{ type: string | undefined; jsonLength: string | undefined; body: Buffer; made: boolean }>

/** Of Triton's binary data extension. */
const JSON_LENGTH = 'inference-header-content-length'
const JSON_TYPE = 'application/json'

/** What the caller says for the one answer that he gets: a call within has another. */
const ofAnswer = new Set(['accept', 'accept-encoding', 'expect', 'range', 'if-range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'te'])
/** What is said of a body. */
const ofBody = new Set(['content-type', 'content-length', 'content-encoding', JSON_LENGTH])

/** What every call within a request says: all of them are in one trace, that of the caller where he has one. */
export function commonHeaders({ received: { headers }, trace }: Exchange): Readonly<FlatHeaders> {
  const common: FlatHeaders = []
  const known = trace !== undefined
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (ofAnswer.has(name) || ofBody.has(name) || (!known && (name === 'traceparent' || name === 'tracestate'))) continue
    common.push(name, headers[i + 1] ?? '')
  }
  if (!known) common.push('traceparent', `00-${randomUUID().replaceAll('-', '')}-${randomUUID().replaceAll('-', '').slice(0, 16)}-01`)
  return common
}

/** A body as it came. */
export function contentOf(headers: Readonly<FlatHeaders>, body: Buffer): Content {
  return { type: valueOf(headers, 'content-type'), jsonLength: valueOf(headers, JSON_LENGTH), body, made: false }
}

export const jsonContent = (text: string): Content => ({ type: JSON_TYPE, jsonLength: undefined, body: Buffer.from(text), made: true })

/** What is said of it in an answer. */
export function headersOf({ type, jsonLength }: Content): FlatHeaders {
  return [...(type === undefined ? [] : ['content-type', type]), ...(jsonLength === undefined ? [] : [JSON_LENGTH, jsonLength])]
}

/** @param passesOn its answer may be that of the whole, so that it is given in the form that the caller takes */
export function askOf({ path, input }: BuiltStep, exchange: Exchange, common: Readonly<FlatHeaders>, content: Content, passesOn: boolean): Ask {
  const { received, method } = exchange
  const own = 'of' in input && input.of === null
  const accept = passesOn ? valueOf(received.headers, 'accept') : JSON_TYPE
  const headers = [...common, ...headersOf(content)]
  if (accept !== undefined) headers.push('accept', accept)
  return {
    method: own ? method : 'POST',
    path: path ?? received.path,
    ...(path === undefined && { query: received.query }),
    headers, body: content.body,
  }
}

import { known, Kind, type FlatHeaders } from '../pipeline/headers.ts'

/** Names and values as they came, one after the other. */
type Raw = readonly string[]

/** What a response carries besides what the backend said. `confidence`: stages of the gateway say how sure it is. */
export type Stamp = Readonly<{ requestId: string; variant: string; modelVersion: string | undefined; confidence: boolean }>

/** The response's headers as they are sent on, and what they say about its body. */
export type ResponseHead = Readonly<{
  headers: FlatHeaders
  /** Bytes; undefined where the body ends with its last chunk or with the connection. */
  length: number | undefined
  /** An open-ended answer: it is not over in a time that could be known beforehand. */
  stream: boolean
}>

const streams = ['text/event-stream', 'application/x-ndjson', 'application/jsonl', 'application/grpc']

/** Rebuilds a response's headers: hop-by-hop ones end here, and what the gateway says nobody else may. */
export function responseHead(raw: Raw, status: number, stamp: Stamp): ResponseHead {
  const headers: FlatHeaders = []
  let length: number | undefined
  let nominated = ''
  let stream = false
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const { name, kind } = known(raw[i] ?? '')
    const value = raw[i + 1] ?? ''
    if (kind === Kind.contentLength) {
      length = Number(value)
      continue
    }
    if (kind === Kind.connection) {
      nominated += `,${value.toLowerCase()}`
      continue
    }
    if (kind === Kind.hopByHop && name !== 'trailer') continue
    if (kind === Kind.transferEncoding || kind === Kind.upgrade || kind === Kind.requestId) continue
    if (name.startsWith('x-modelroute-') && !(stamp.confidence && name === 'x-modelroute-confidence')) continue
    if (name === 'content-type') stream = streams.some((type) => value.startsWith(type))
    headers.push(name, value)
  }
  if (nominated !== '' && nominated !== ',keep-alive' && nominated !== ',close') dropNominated(headers, nominated)
  // A 204 has no body and says no length (RFC 9110 section 8.6).
  if (length !== undefined && status !== 204) headers.push('content-length', String(length))
  headers.push('x-request-id', stamp.requestId)
  if (stamp.variant !== '') headers.push('x-modelroute-variant', stamp.variant)
  if (stamp.modelVersion !== undefined) headers.push('x-modelroute-model-version', stamp.modelVersion)
  return { headers, length, stream }
}

function dropNominated(headers: FlatHeaders, nominated: string): void {
  const names = new Set(nominated.split(',').map((name) => name.trim()))
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (names.has(name) && name !== 'content-type') continue
    headers[kept++] = name
    headers[kept++] = headers[i + 1] ?? ''
  }
  headers.length = kept
}

/** What may not come after a body (RFC 9110 section 6.5.1): it would change how the body was understood. */
const notInTrailers = new Set(['content-encoding', 'content-type', 'content-range', 'set-cookie', 'authorization', 'cache-control',
  // What a server says of its load is for those who balance (gRFC A51).
  'endpoint-load-metrics', 'endpoint-load-metrics-bin'])

export function trailersOf(raw: Raw): [string, string][] {
  const trailers: [string, string][] = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const { name, kind } = known(raw[i] ?? '')
    if (kind === Kind.endToEnd && !notInTrailers.has(name) && !name.startsWith('x-modelroute-')) {
      trailers.push([name, raw[i + 1] ?? ''])
    }
  }
  return trailers
}

import { detached } from './recalled.ts'

/**
 * What a header is to a gateway. One lookup a header decides whether it travels on (RFC 9110 section 7.6.1), frames
 * the message, or claims something that only the gateway may say.
 */
export const Kind = {
  endToEnd: 0,
  hopByHop: 1,
  host: 2,
  contentLength: 3,
  transferEncoding: 4,
  connection: 5,
  upgrade: 6,
  expect: 7,
  /** `Content_Length`: a server that folds `_` into `-` (CGI, WSGI) would frame the message by it. */
  lookalike: 8,
  /** The headers in which the gateway tells the backend who calls, or that nobody does; from a caller they are a lie. */
  identity: 9,
  /** Where the request came from. No hop before us is trusted, so what they say is replaced. */
  forwarded: 10,
  requestId: 11,
  /** The trace that it is a part of. */
  trace: 12,
} as const

export type Kind = (typeof Kind)[keyof typeof Kind]
export type KnownHeader = Readonly<{
  name: string
  kind: Kind
  /** It is a name by the grammar (RFC 9110 section 5.6.2). */
  valid: boolean
}>

const kinds = new Map<string, Kind>([
  ['connection', Kind.connection],
  ['content-length', Kind.contentLength],
  ['expect', Kind.expect],
  ['forwarded', Kind.forwarded],
  ['host', Kind.host],
  // Cleared for HTTP/2, which maps onto the same names.
  ['http2-settings', Kind.hopByHop],
  ['keep-alive', Kind.hopByHop],
  ['proxy-authenticate', Kind.hopByHop],
  ['proxy-authorization', Kind.hopByHop],
  ['proxy-connection', Kind.hopByHop],
  ['te', Kind.hopByHop],
  ['trailer', Kind.hopByHop],
  ['traceparent', Kind.trace],
  ['tracestate', Kind.trace],
  ['transfer-encoding', Kind.transferEncoding],
  ['upgrade', Kind.upgrade],
  ['x-modelroute-consumer', Kind.identity],
  ['x-modelroute-groups', Kind.identity],
  ['x-modelroute-mirror', Kind.identity],
  ['x-modelroute-tier', Kind.identity],
  ['x-real-ip', Kind.forwarded],
  ['x-request-id', Kind.requestId],
])

function kindOf(name: string): Kind {
  const dashed = name.replaceAll('_', '-')
  const kind = dashed.startsWith('x-forwarded-') ? Kind.forwarded : kinds.get(dashed) ?? Kind.endToEnd
  if (dashed === name || kind === Kind.identity || kind === Kind.forwarded) return kind
  return kind === Kind.contentLength || kind === Kind.transferEncoding ? Kind.lookalike : Kind.endToEnd
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** Bounded, because callers choose the names. */
const interned = new Map<string, KnownHeader>()
const internedMax = 1024

/** Lower-cases and classifies a header name as it came over the wire. */
export function known(raw: string): KnownHeader {
  const found = interned.get(raw)
  if (found !== undefined) return found
  const own = interned.size < internedMax ? detached(raw) : raw
  const name = own.toLowerCase()
  const header = { name, kind: kindOf(name), valid: token.test(own) }
  if (interned.size < internedMax) interned.set(own, header)
  return header
}

/** Seeded with what most requests and answers carry, so that nobody can crowd it out. */
const usual = [
  ...kinds.keys(), 'accept', 'accept-encoding', 'accept-language', 'authorization', 'cache-control', 'content-encoding', 'content-type',
  'cookie', 'date', 'etag', 'inference-header-content-length', 'last-modified', 'location', 'origin', 'pragma', 'referer', 'server',
  'set-cookie', 'user-agent', 'vary', 'via', 'x-api-key', 'x-forwarded-for', 'x-forwarded-host',
  'x-forwarded-proto',
]
for (const name of usual) {
  known(name)
  known(name.replaceAll(/(?:^|-)[a-z]/g, (start) => start.toUpperCase()))
}

/** What a header's value may hold without being misread anywhere: printable ASCII. */
export function isPlainValue(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text)
}

/** Headers as a flat list of lower-case names and values, in the order they came: `[name, value, name, value, …]`. */
export type FlatHeaders = string[]

/** The value of a header; of one that occurs more than once, the list (RFC 9110 section 5.3). */
export function valueOf(headers: readonly string[], name: string): string | undefined {
  let value: string | undefined
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === name) value = value === undefined ? headers[i + 1] : `${value},${headers[i + 1]}`
  }
  return value
}

/** Takes one header out, in place, however often it is there. */
export function removeHeader(headers: FlatHeaders, name: string): void {
  let kept = 0
  while (kept < headers.length && headers[kept] !== name) kept += 2
  // Nearly always the search was all there was to do.
  for (let i = kept + 2; i < headers.length; i += 2) {
    if (headers[i] === name) continue
    headers[kept] = headers[i] ?? ''
    headers[kept + 1] = headers[i + 1] ?? ''
    kept += 2
  }
  if (kept < headers.length) headers.length = kept
}

/** Takes the headers out for which `drop` holds, in place. */
export function removeHeaders(headers: FlatHeaders, drop: (name: string) => boolean): void {
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (drop(name)) continue
    headers[kept] = name
    headers[kept + 1] = headers[i + 1] ?? ''
    kept += 2
  }
  headers.length = kept
}

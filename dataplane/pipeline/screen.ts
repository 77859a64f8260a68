import type { DoorRequest } from './door.ts'
import { failure, type Failure } from './errors.ts'
import type { BodyLength, Received } from './exchange.ts'
import { Kind, known, removeHeaders, type FlatHeaders } from './headers.ts'
import { parseTarget } from './target.ts'

/**
 * What is a head by the grammar and a gateway must not let through: anything that another HTTP implementation could frame,
 * route or attribute in another way than we do (request smuggling, RFC 9112 section 11.2).
 */
/** Well below the 1,000 beyond which Node drops headers without a word. */
const headerCountMax = 100

const hostForm = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]+)(?::\d{1,5})?$/
/** Naming one of these in Connection would take it out on the way: the framing, the host, or who calls. */
const notNominable = new Set([
  'host', 'content-length', 'transfer-encoding', 'authorization', 'cookie', 'proxy-authorization', 'x-api-key',
])

const invalid = (detail: string) => failure('invalid_request', detail)

export function screen({ method, url, httpVersion, rawHeaders }: DoorRequest): Received | Failure {
  if (rawHeaders.length > headerCountMax * 2) {
    return failure('headers_too_large', `The request has more than ${headerCountMax} headers.`)
  }

  const headers: FlatHeaders = []
  let seen = 0
  let authority: string | undefined
  let bodyLength: BodyLength = 0
  let nominated = ''
  let expectsContinue = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const { name, kind } = known(rawHeaders[i] ?? '')
    const value = rawHeaders[i + 1] ?? ''
    if (kind === Kind.endToEnd) {
      headers.push(name, value)
      continue
    }
    const again = (seen & (1 << kind)) !== 0
    seen |= 1 << kind
    switch (kind) {
      case Kind.forwarded:
      case Kind.requestId:
      case Kind.trace:
        headers.push(name, value)
        break
      case Kind.host:
        if (again) return invalid('The request has more than one Host.')
        authority = value
        break
      case Kind.contentLength:
        if (again || !/^\d{1,15}$/.test(value)) return invalid('The Content-Length is not a number of bytes.')
        bodyLength = Number(value)
        break
      case Kind.transferEncoding:
        if (httpVersion === '1.0') return invalid('HTTP/1.0 has no Transfer-Encoding.')
        if (again || value.toLowerCase() !== 'chunked') return invalid('The only Transfer-Encoding served here is chunked.')
        bodyLength = 'chunked'
        break
      case Kind.connection:
        nominated = nominated === '' ? value : `${nominated},${value}`
        break
      case Kind.expect:
        // An expectation that nobody knows may be disregarded (RFC 9110, 10.1.1), and HTTP/1.0 has none.
        if (httpVersion !== '1.0' && value.toLowerCase() === '100-continue') expectsContinue = true
        break
      case Kind.upgrade:
        if (value.toLowerCase().includes('h2c')) return invalid('An upgrade to h2c is not served here.')
        break
      case Kind.identity:
        // What the gateway tells a backend about the caller, the caller must not be able to say; nor may a match see it.
        break
      case Kind.lookalike:
        return invalid('A header looks like one that frames the message.')
    }
  }
  if ((seen & (1 << Kind.contentLength)) !== 0 && (seen & (1 << Kind.transferEncoding)) !== 0) {
    return invalid('The request has both a Content-Length and a Transfer-Encoding.')
  }
  let persistent = httpVersion !== '1.0'
  if (nominated !== '') {
    const names = nominated.toLowerCase()
    if (names === 'close') persistent = false
    else if (names === 'keep-alive') persistent = true
    else {
      const words = new Set(names.split(',').map((name) => name.trim()))
      persistent = !words.has('close') && (persistent || words.has('keep-alive'))
      const wrong = dropNominated(headers, words)
      if (wrong) return wrong
    }
  }
  if (authority === undefined && httpVersion !== '1.0') return invalid('The request has no Host.')
  if (authority && !hostForm.test(authority)) return invalid('The Host is not a host name or an address.')

  const target = parseTarget(originForm(url, authority))
  if ('code' in target) return target
  return {
    method,
    host: hostOf(authority ?? ''),
    authority: authority ?? '',
    path: target.path,
    query: target.query,
    headers,
    seen,
    bodyLength,
    expectsContinue,
    persistent,
    again: undefined,
  }
}

/** What the same head is again, for another request to change. */
export function screenedAgain(received: Received): Received {
  const { method, host, authority, path, query, headers, seen, bodyLength, expectsContinue, persistent } = received
  return { method, host, authority, path, query, headers: headers.slice(), seen, bodyLength, expectsContinue, persistent, again: received }
}

/** Takes out what Connection names (RFC 9110 section 7.6.1). */
function dropNominated(headers: FlatHeaders, names: ReadonlySet<string>): Failure | undefined {
  for (const name of names) {
    if (notNominable.has(name)) return invalid(`Connection may not name ${name}.`)
  }
  removeHeaders(headers, (name) => names.has(name))
  return undefined
}

/** `http://host/path` is `/path` when the host is the one of the Host header; otherwise it stays and is refused. */
function originForm(target: string, authority: string | undefined): string {
  const parts = /^https?:\/\/(?<authority>[^/?#]*)(?<rest>[^]*)$/i.exec(target)?.groups
  if (!parts || parts['authority']?.toLowerCase() !== authority?.toLowerCase()) return target
  const rest = parts['rest'] ?? ''
  return rest.startsWith('/') ? rest : `/${rest}`
}

function hostOf(authority: string): string {
  const name = authority.replace(/:\d+$/, '').toLowerCase()
  return name.endsWith('.') ? name.slice(0, -1) : name
}

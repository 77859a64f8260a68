import { failure, type Failure } from './errors.ts'
import { recalled } from './recalled.ts'

/**
 * The request target, brought to one form before anything looks at it. What is matched is what is forwarded, so that
 * no backend can read another path out of a request than the one its route was chosen by:
 *
 * - `%41` of an unreserved character is that character, other escapes are in upper case (RFC 3986 section 6.2.2);
 * - `.` and `..` are resolved, also when written `%2e`, and never climb above `/` (section 5.2.4);
 * - `//` is `/`;
 * - `%2F` and `%5C` stay as they are (a model's name may hold a slash), except where a backend that unescapes them
 *   would find a dot segment: that is refused, as are `%00`, a bare `\`, a broken escape, and `#`.
 *
 * The query is forwarded byte for byte.
 */
export type RequestTarget = Readonly<{ path: string; query: string }>

const plain = /^(?:\/[A-Za-z0-9\-_~!$&'()*+,;=:@][A-Za-z0-9\-._~!$&'()*+,;=:@]*)+\/?$|^\/$/
const printable = /^[\x21-\x7e]+$/

export function parseTarget(target: string): RequestTarget | Failure {
  if (!target.startsWith('/')) return failure('invalid_request', 'The request target must be a path.')
  const mark = target.indexOf('?')
  const query = mark === -1 ? '' : target.slice(mark)
  if (query !== '' && (!printable.test(query) || query.includes('#'))) {
    return failure('invalid_request', 'The query holds a character that must be percent-encoded.')
  }
  const path = normalPath(mark === -1 ? target : target.slice(0, mark))
  return typeof path === 'string' ? { path, query } : path
}

const normalPath = recalled(normalizePath)

/** The normal form of a path; also of one in a route, so that the two compare. */
export function normalizePath(path: string): string | Failure {
  if (plain.test(path)) return path
  if (!path.startsWith('/')) return failure('invalid_request', 'The path must start with a slash.')
  if (!printable.test(path) || /[\\#"<>^`{|}]/.test(path)) {
    return failure('invalid_request', 'The path holds a character that must be percent-encoded.')
  }
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return failure('invalid_request', 'The path holds a broken percent-encoding.')
  const escaped = path.replaceAll(/%[0-9A-Fa-f]{2}/g, unreserve)
  if (escaped.includes('%00')) return failure('invalid_request', 'The path holds a zero byte.')
  if (hidesDotSegment(escaped)) return failure('invalid_request', 'The path hides a dot segment behind an escaped slash.')
  return withoutDotSegments(escaped)
}

function unreserve(escape: string): string {
  const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
  return /[A-Za-z0-9\-._~]/.test(character) ? character : escape.toUpperCase()
}

function hidesDotSegment(path: string): boolean {
  return /%2F|%5C/.test(path)
    && path.split('/').some((segment) => /%2F|%5C/.test(segment)
      && segment.split(/%2F|%5C/).some((part) => part === '.' || part === '..'))
}

function withoutDotSegments(path: string): string {
  const kept: string[] = []
  const segments = path.split('/')
  for (const segment of segments) {
    if (segment === '' || segment === '.') continue
    if (segment === '..') kept.pop()
    else kept.push(segment)
  }
  const last = segments.at(-1)
  const open = kept.length > 0 && (last === '' || last === '.' || last === '..')
  return `/${kept.join('/')}${open ? '/' : ''}`
}

import type { Exchange } from '../../pipeline/exchange.ts'

/** RFC 6750 section 2.1: one token68. */
const form = /^[A-Za-z0-9\-._~+/]+=*$/
const jwt = /^[\w-]+\.[\w-]+\.[\w-]*$/

/**
 * What an `Authorization: Bearer` has behind the scheme; undefined where there is none. Not yet known to be one token:
 * whoever looks it up first and finds it need not look at each of its characters.
 */
export function bearerOf(exchange: Exchange): string | undefined {
  const value = exchange.header('authorization')
  if (value === undefined || value.charCodeAt(6) !== space || value.slice(0, 6).toLowerCase() !== 'bearer') return undefined
  let at = 7
  while (value.charCodeAt(at) === space) at++
  return at < value.length ? value.slice(at) : undefined
}

const space = 0x20

/** Whether it is one token, such as can be passed on. */
export function isToken(text: string): boolean {
  return form.test(text)
}

/** Three parts that could be those of a JSON Web Token: not an API key, nor an opaque one. */
export function looksLikeJwt(token: string): boolean {
  return jwt.test(token)
}

/** Whether the request has something that means to be a bearer token, right or wrong. */
export function claimsBearer(exchange: Exchange): boolean {
  return /^bearer(?: |$)/i.test(exchange.header('authorization') ?? '')
}

import type { Exchange } from '../../pipeline/exchange.ts'

const form = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i
const jwt = /^[\w-]+\.[\w-]+\.[\w-]*$/

/** The token of an `Authorization: Bearer` (RFC 6750 section 2.1); undefined where there is none, or more than one. */
export function bearerOf(exchange: Exchange): string | undefined {
  return form.exec(exchange.header('authorization') ?? '')?.[1]
}

/** Three parts that could be those of a JSON Web Token: not an API key, nor an opaque one. */
export function looksLikeJwt(token: string): boolean {
  return jwt.test(token)
}

/** Whether the request has something that means to be a bearer token, right or wrong. */
export function claimsBearer(exchange: Exchange): boolean {
  return /^bearer(?: |$)/i.test(exchange.header('authorization') ?? '')
}

import type { Cors } from '../../../table/cors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { removeHeaders, type FlatHeaders } from '../../pipeline/headers.ts'

/** What a route says to web pages of other origins (Fetch, section 3.3), ready to run. */
export type CorsPolicy = Readonly<{
  /** The headers that answer a preflight. */
  preflight(exchange: Exchange): FlatHeaders
  /** Puts what the policy says into the headers of an answer, in place of what the backend said. */
  stamp(exchange: Exchange, headers: FlatHeaders): void
}>

const token = /^[a-z0-9!#$%&'*+\-.^_`|~]{1,128}$/
/** What `*` of a host stands for. */
const labels = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/
const requestedMax = 64

export function createCors({ origins, methods, headers: allowed, expose, credentials, maxAge }: Cors): CorsPolicy {
  const anybody = origins.includes('*')
  const exact = new Set(origins)
  const wildcards = origins.filter((origin) => origin.includes('://*.')).map((origin): readonly [string, string] => {
    const star = origin.indexOf('*')
    return [origin.slice(0, star), origin.slice(star + 1)]
  })
  const admits = (origin: string) => exact.has(origin)
    || wildcards.some(([scheme, suffix]) => origin.startsWith(scheme) && origin.endsWith(suffix) && labels.test(origin.slice(scheme.length, -suffix.length)))

  /** Undefined: nothing is said, so the browser keeps the answer from the page. An origin is never sent back unseen. */
  function originOf(exchange: Exchange): string | undefined {
    const origin = exchange.header('origin')
    if (origin === undefined) return undefined
    if (anybody) return '*'
    return admits(origin.toLowerCase()) ? origin : undefined
  }

  function leave(exchange: Exchange): FlatHeaders | undefined {
    const origin = originOf(exchange)
    if (origin === undefined) return undefined
    return ['access-control-allow-origin', origin, ...(credentials ? ['access-control-allow-credentials', 'true'] : [])]
  }

  return {
    preflight(exchange) {
      const vary = ['vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers']
      const given = leave(exchange)
      if (given === undefined) return vary
      const method = exchange.header('access-control-request-method') ?? ''
      // `*` would be taken by the letter where there are credentials, and never covers Authorization.
      const asked = (exchange.header('access-control-request-headers') ?? '').toLowerCase().split(',').slice(0, requestedMax)
        .map((name) => name.trim()).filter((name) => token.test(name))
      const granted = allowed.includes('*') ? asked : allowed
      return [
        ...given,
        'access-control-allow-methods', (methods.includes('*') ? [method] : methods).join(', '),
        ...(granted.length > 0 ? ['access-control-allow-headers', granted.join(', ')] : []),
        'access-control-max-age', String(maxAge),
        ...vary,
      ]
    },
    stamp(exchange, headers) {
      removeHeaders(headers, (name) => name.startsWith('access-control-'))
      if (!anybody) headers.push('vary', 'Origin')
      const given = leave(exchange)
      if (given === undefined) return
      const names = expose.includes('*') && credentials ? [...new Set(headers.filter((_, i) => i % 2 === 0))] : expose
      if (names.length > 0) given.push('access-control-expose-headers', names.join(', '))
      headers.push(...given)
    },
  }
}

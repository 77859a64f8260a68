import type { Exchange, Way } from '../../pipeline/exchange.ts'
import type { CorsPolicy } from './policy.ts'

/** A browser asks whether a page may make a request (Fetch, section 3.3.2): it brings no credential and no other header. */
export function isPreflight(exchange: Exchange): boolean {
  return exchange.method === 'OPTIONS' && exchange.header('origin') !== undefined && exchange.header('access-control-request-method') !== undefined
}

/** Answers it, for all that would have been refused otherwise. Whether the page may is in the headers. */
export function answerPreflight(exchange: Exchange, policy: CorsPolicy): Way {
  return {
    start() {
      exchange.response.writeHead(204, [...policy.preflight(exchange), 'x-request-id', exchange.requestId])
      exchange.response.end()
    },
    clientClosed() {},
  }
}

import { randomUUID } from 'node:crypto'
import type { Exchange } from '../../pipeline/exchange.ts'
import { Kind, removeHeader } from '../../pipeline/headers.ts'
import type { Filter } from '../filter.ts'

const sane = /^[A-Za-z0-9\-._~:+/=@]{1,128}$/

/** The caller's request id where it is safe to log and to send back, else a new one. */
export function requestIdOf(offered: string | undefined): string {
  return offered !== undefined && sane.test(offered) ? offered : randomUUID()
}

export const requestId: Filter = {
  name: 'request_id',
  build: () => sendRequestId,
}

function sendRequestId({ received, requestId }: Exchange): undefined {
  if ((received.seen & (1 << Kind.requestId)) !== 0) removeHeader(received.headers, 'x-request-id')
  received.headers.push('x-request-id', requestId)
}

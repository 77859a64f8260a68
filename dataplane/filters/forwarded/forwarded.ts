import type { Exchange } from '../../pipeline/exchange.ts'
import { Kind, known, removeHeaders } from '../../pipeline/headers.ts'
import type { Filter } from '../filter.ts'

export const forwarded: Filter = {
  name: 'forwarded',
  build: () => setForwarded,
}

/** No hop before us is trusted, so nothing is appended to: what came is replaced by what we saw ourselves. */
function setForwarded({ received, request, clientAddress }: Exchange): undefined {
  const { headers } = received
  if ((received.seen & (1 << Kind.forwarded)) !== 0) {
    removeHeaders(headers, (name) => known(name).kind === Kind.forwarded)
  }
  if (clientAddress !== '') headers.push('x-forwarded-for', clientAddress)
  headers.push('x-forwarded-proto', 'encrypted' in request.socket ? 'https' : 'http')
  if (received.authority !== '') headers.push('x-forwarded-host', received.authority)
}

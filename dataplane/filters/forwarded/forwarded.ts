import type { Exchange } from '../../pipeline/exchange.ts'
import { isPlainValue, Kind, known, removeHeaders, valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { forwardedNode, type Trail } from '../../pipeline/hops.ts'
import type { Filter } from '../filter.ts'

export const forwarded: Filter = {
  name: 'forwarded',
  build: () => setForwarded,
}

/**
 * What came from a hop that is not trusted is replaced by what we saw ourselves. What trusted hops said goes on, with
 * the hop before us behind it; what stands before the caller's own address the caller wrote, and it ends here.
 */
function setForwarded({ received, request, clientAddress, trail }: Exchange): undefined {
  const { headers } = received
  const scheme = request.encrypted ? 'https' : 'http'
  if (trail !== undefined) {
    setTrail(headers, trail, scheme, received.authority)
    return
  }
  if ((received.seen & (1 << Kind.forwarded)) !== 0) drop(headers)
  if (clientAddress !== '') headers.push('x-forwarded-for', clientAddress)
  headers.push('x-forwarded-proto', scheme)
  if (received.authority !== '') headers.push('x-forwarded-host', received.authority)
}

function setTrail(headers: FlatHeaders, { addresses, elements }: Trail, scheme: string, authority: string): void {
  const told = (name: string) => {
    const value = valueOf(headers, name)
    return value !== undefined && isPlainValue(value) ? value : undefined
  }
  const proto = told('x-forwarded-proto') ?? scheme
  const host = told('x-forwarded-host') ?? authority
  const rest = ['x-forwarded-port', 'x-forwarded-prefix'].map((name) => [name, told(name)] as const)
  drop(headers)
  headers.push('x-forwarded-for', addresses.join(', '), 'x-forwarded-proto', proto)
  if (host !== '') headers.push('x-forwarded-host', host)
  for (const [name, value] of rest) if (value !== undefined) headers.push(name, value)
  if (elements.length > 0) headers.push('forwarded', [...elements, `for=${forwardedNode(addresses.at(-1) ?? '')};proto=${scheme}`].join(', '))
}

function drop(headers: FlatHeaders): void {
  removeHeaders(headers, (name) => known(name).kind === Kind.forwarded)
}

import type { Auth } from '../../../table/principal.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { removeHeader } from '../../pipeline/headers.ts'

/**
 * Takes every credential that the terms name out of what goes to the backend, whichever of them decided: a model server
 * has no use for its callers' keys, and writes its query strings into its log.
 */
export function stripOf({ anyOf }: Auth): (exchange: Exchange) => void {
  const headerNames = new Set<string>()
  const parameters = new Set<string>()
  for (const credential of anyOf) {
    if (credential.kind !== 'apiKey' || credential.in === 'Bearer') headerNames.add('authorization')
    else if (credential.in === 'Header') headerNames.add(credential.name)
    else parameters.add(credential.name)
  }
  const headers = [...headerNames]
  return ({ received }) => {
    for (const name of headers) removeHeader(received.headers, name)
    if (parameters.size > 0 && received.query !== '') received.query = withoutParameters(received.query, parameters)
  }
}

/** The rest stays byte for byte. */
function withoutParameters(query: string, names: ReadonlySet<string>): string {
  const kept = query.slice(1).split('&').filter((pair) => {
    const [[name] = ['']] = new URLSearchParams(pair)
    return !names.has(name)
  })
  return kept.length === 0 ? '' : `?${kept.join('&')}`
}

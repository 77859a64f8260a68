import type { BackendCredentials } from '../../../table/backend.ts'
import { failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { removeHeaders } from '../../pipeline/headers.ts'
import { chooseVariant } from '../../pipeline/variant.ts'
import type { Filter, FilterDeps, Outcome } from '../filter.ts'
import type { Token } from './tokens.ts'

export const backendCredentials: Filter = {
  name: 'backend_credentials',
  build({ route, rule }, { vault, backendTokens }) {
    const byVariant = new Map(rule.variants.flatMap(({ name, credentials }) => (credentials ? [[name, credentials] as const] : [])))
    if (byVariant.size === 0) return undefined
    return function proveGateway(exchange) {
      const variant = exchange.rule && chooseVariant(exchange, exchange.rule)
      const terms = variant && byVariant.get(variant.name)
      if (terms === undefined || exchange.explaining !== undefined) return undefined
      if (terms.kind === 'static') return prove(exchange, terms.header, staticValue(terms, vault))
      const token = backendTokens(route.tenant, terms)
      return token instanceof Promise ? token.then((settled) => prove(exchange, 'authorization', bearer(settled)))
        : prove(exchange, 'authorization', bearer(token))
    }
  },
}

type Value = Readonly<{ value: string }> | Readonly<{ why: string }>

function bearer(token: Token): Value {
  return 'why' in token ? token : { value: `Bearer ${token.token}` }
}

function staticValue({ value: ref, scheme }: Extract<BackendCredentials, { kind: 'static' }>, vault: FilterDeps['vault']): Value {
  const text = vault.secret(ref.secret, ref.key)?.toString().trim()
  if (text === undefined) return { why: 'the secret with the credential of the backend has not arrived' }
  // Whatever could end the header is no credential; a space may stand in one.
  if (!/^[\x20-\x7e]+$/.test(text)) return { why: 'the credential of the backend cannot stand in a header' }
  return { value: scheme === '' ? text : `${scheme} ${text}` }
}

const unproven = failure('no_endpoints', 'The backend cannot be called at present.')

function prove(exchange: Exchange, header: string, found: Value): Outcome {
  if ('why' in found) {
    exchange.cause = found.why
    return unproven
  }
  const { headers } = exchange.received
  removeHeaders(headers, (name) => name === header)
  headers.push(header, found.value)
  return undefined
}

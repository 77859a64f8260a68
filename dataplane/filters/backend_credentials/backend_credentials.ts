import { failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { removeHeader } from '../../pipeline/headers.ts'
import { chooseVariant } from '../../pipeline/variant.ts'
import type { Filter, Outcome } from '../filter.ts'
import { proofFor, type Proof } from './proof.ts'

export const backendCredentials: Filter = {
  name: 'backend_credentials',
  build({ route, rule }, deps) {
    const byVariant = new Map(rule.variants.flatMap(({ name, credentials }) => (credentials ? [[name, credentials] as const] : [])))
    if (byVariant.size === 0) return undefined
    return function proveGateway(exchange) {
      const variant = exchange.rule && chooseVariant(exchange, exchange.rule)
      const terms = variant && byVariant.get(variant.name)
      if (terms === undefined || exchange.explaining !== undefined) return undefined
      const proof = proofFor(route.tenant, terms, deps)
      return proof instanceof Promise ? proof.then((settled) => prove(exchange, settled)) : prove(exchange, proof)
    }
  },
}

const unproven = failure('no_endpoints', 'The backend cannot be called at present.')

function prove(exchange: Exchange, proof: Proof): Outcome {
  if ('why' in proof) {
    exchange.cause = proof.why
    return unproven
  }
  const { headers } = exchange.received
  removeHeader(headers, proof.header)
  headers.push(proof.header, proof.value)
  return undefined
}

import type { AnswerFacts, ValueFacts } from '../../table/values.ts'
import { modelAsked } from '../pipeline/asked.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { ExchangeFacts } from '../pipeline/facts.ts'
import { anonymous } from '../pipeline/principal.ts'

/** What expressions over bodies see of a request. @param model whether one of them asks for the model, which may be in the body */
export function valueFacts(exchange: Exchange, body: Buffer, model: boolean, answer?: AnswerFacts): ValueFacts {
  // The body is here, so that this is told at once.
  const asked = model ? modelAsked(exchange) : undefined
  return {
    request: new ExchangeFacts(exchange, typeof asked === 'string' ? asked : undefined),
    principal: exchange.principal ?? anonymous,
    body,
    ...(answer !== undefined && { answer }),
  }
}

/** Of one that occurs more than once, the list (RFC 9110 section 5.3). */
export function headerMap(headers: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (let i = 0; i < headers.length; i += 2) {
    const [name = '', value = ''] = headers.slice(i, i + 2)
    const before = found.get(name)
    found.set(name, before === undefined ? value : `${before},${value}`)
  }
  return found
}

import { readBody, readLimit } from '../pipeline/body.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { decoded } from '../translate/coding.ts'
import { speechOf, translationOf } from '../translate/index.ts'
import { unsupported, type Generated, type Told } from '../translate/translation.ts'
import { gatherMax } from './body.ts'
import type { Destination } from './destination.ts'

/** What of a destination a translation says. */
type Terms = Pick<Destination, 'method' | 'path' | 'headers' | 'body' | 'stage' | 'grpc'>

/** Whether a request must be translated for this variant. What is of no protocol at all goes to servers of HTTP as it is. */
export function isForeign(exchange: Pick<Exchange, 'path' | 'received'>, protocol: BuiltVariant['protocol']): boolean {
  if (protocol === undefined) return false
  const speech = speechOf(exchange)
  return speech === undefined ? protocol === 'GRPC' : speech !== protocol
}

/** A request in the terms of its variant; its own body stays as it is, for those that may come after. Never rejects. */
export async function translate(exchange: Exchange, rule: BuiltRule, { model, protocol }: BuiltVariant): Promise<Terms | Failure> {
  const { received, path } = exchange
  const { method, query, headers } = received
  const speech = speechOf(exchange)
  const translation = speech && protocol && translationOf(speech, protocol)
  if (translation === undefined) return unsupported(`The backend speaks ${protocol}, and there is no way to say this to it.`)
  const whole = await readBody(exchange)
  if ('code' in whole) return whole
  const body = await decoded(headers, whole, readLimit(rule.requestMax))
  if ('code' in body) return body
  try {
    const generated: Generated = { pieces: 0, usage: undefined }
    exchange.generated = generated
    const { requestId, countsTokens } = exchange
    const told = await translation({ method, path, query, headers, body, model, answerMax: readLimit(rule.responseMax), requestId, countsTokens, generated })
    return 'code' in told ? told : termsOf(told, carried(headers))
  } catch (error) {
    exchange.cause = String(error)
    return untranslatable
  }
}

const untranslatable = failure('invalid_request', 'The request cannot be read.')

function termsOf({ method, path, headers, body, answer }: Told, carried: FlatHeaders): Terms {
  const size = body?.reduce((sum, piece) => sum + piece.length, 0) ?? 0
  const pieced = size > gatherMax
  return {
    method, path, stage: answer, grpc: isGrpc(valueOf(headers, 'content-type')),
    headers: [...carried, ...headers, ...(pieced ? ['content-length', String(size)] : [])],
    body: body === null || pieced ? body : Buffer.concat(body, size),
  }
}

/** What a caller says of his body, and of the form in which he takes the answer, is no business of a backend that gets another. */
const ofForm = new Set(['content-type', 'content-length', 'content-encoding', 'accept', 'accept-encoding', 'inference-header-content-length', 'te',
  'grpc-encoding', 'grpc-accept-encoding', 'grpc-timeout'])

function carried(received: Readonly<FlatHeaders>): FlatHeaders {
  const headers: FlatHeaders = []
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] ?? ''
    if (!ofForm.has(name)) headers.push(name, received[i + 1] ?? '')
  }
  return headers
}

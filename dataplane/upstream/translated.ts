import { readBody, readLimit } from '../pipeline/body.ts'
import { failure, requestTooLarge, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { isPlainValue, valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { readHead } from '../pipeline/peek.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { decoded, isPlain } from '../protocols/encodings.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { renamedHeaders } from '../protocols/named.ts'
import { openingOf, speechOf, translationOf } from '../translate/index.ts'
import { unsupported, type Asked, type Edited, type Generated, type Opening, type Told, type Translation } from '../translate/translation.ts'
import { gatherMax } from './body.ts'
import type { Destination } from './destination.ts'

/** What of a destination a translation says. */
type Terms = Pick<Destination, 'method' | 'path' | 'headers' | 'body' | 'edit' | 'stage' | 'grpc'>

/** A request in the terms of its variant; its own body stays as it is, for those that may come after. Never rejects. */
export async function translate(exchange: Exchange, rule: BuiltRule, variant: BuiltVariant): Promise<Terms | Failure> {
  const { model, protocol } = variant
  const { received, path } = exchange
  const { method, query, headers } = received
  const speech = speechOf(exchange)
  const translation = speech && protocol && translationOf(speech, protocol)
  const opening = speech && protocol && openingOf(speech, protocol)
  if (translation === undefined) return unsupported(`The backend speaks ${protocol}, and there is no way to say this to it.`)
  const generated: Generated = exchange.generated ?? { pieces: 0, usage: undefined }
  // What another variant began to say is not the answer.
  generated.pieces = 0
  generated.usage = undefined
  exchange.generated = generated
  const { requestId, countsTokens } = exchange
  const asked: Omit<Asked, 'body'> = {
    method, path, query, headers, model, requestId, countsTokens, generated, requestMax: readLimit(rule.requestMax), answerMax: readLimit(rule.responseMax),
    call: (put) => rule.ask(exchange, rule, variant, put),
  }
  try {
    const told = await open(exchange, rule, opening, asked) ?? await wholly(exchange, rule, translation, asked)
    const chosenBy = model?.name === undefined || !isPlainValue(model.name) ? undefined : renamedHeaders(headers, model.name)
    return 'code' in told ? told : termsOf(told, carried(chosenBy ?? headers))
  } catch (error) {
    exchange.cause = String(error)
    return untranslatable
  }
}

async function wholly(exchange: Exchange, rule: BuiltRule, translation: Translation, asked: Omit<Asked, 'body'>): Promise<Told | Failure> {
  const whole = await readBody(exchange)
  if ('code' in whole) return whole
  const requestMax = readLimit(rule.requestMax)
  const body = await decoded([...asked.headers], whole, requestMax)
  if (typeof body === 'string') return body === 'too_large' ? requestTooLarge(requestMax) : packed
  return translation({ ...asked, body })
}

/** Where it is enough to read the beginning of a request, and nobody may need all of it. */
async function open(exchange: Exchange, rule: BuiltRule, opening: Opening | undefined, asked: Omit<Asked, 'body'>): Promise<Edited | Failure | undefined> {
  const { received, body } = exchange
  const length = opening?.length(asked)
  if (opening === undefined || length === undefined || body !== undefined || rule.next !== undefined) return undefined
  const { bodyLength } = received
  if (bodyLength === 'chunked' || bodyLength <= gatherMax || bodyLength < length || !isPlain(valueOf(received.headers, 'content-encoding'))) return undefined
  if (bodyLength > rule.requestMax) return requestTooLarge(rule.requestMax)
  const head = await readHead(exchange, length, rule)
  return 'code' in head ? head : opening.put(asked, head, bodyLength)
}

const packed = failure('invalid_request', 'The body is not packed as its Content-Encoding says, or in a way that is not read here.')
const untranslatable = failure('invalid_request', 'The request cannot be read.')

function termsOf(told: Told | Edited, carried: FlatHeaders): Terms {
  const { method, path, headers, answer } = told
  const terms = { method, path, stage: answer, grpc: isGrpc(valueOf(headers, 'content-type')) }
  if ('edit' in told) return { ...terms, headers: [...carried, ...headers, 'content-length', String(told.length)], body: undefined, edit: told.edit }
  const { body } = told
  const size = body?.reduce((sum, piece) => sum + piece.length, 0) ?? 0
  const pieced = size > gatherMax
  return {
    ...terms, edit: undefined,
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

import type { Transform } from '../../../table/shape.ts'
import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange, Stage } from '../../pipeline/exchange.ts'
import { known, valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { plainBody, replaceBody } from '../../shape/body.ts'
import { editsOf, type Edits, type Unchanged } from '../../shape/edits.ts'
import { valueFacts } from '../../shape/facts.ts'
import { headersChanged } from '../../shape/headers.ts'
import { joined, partOf } from '../../shape/part.ts'
import { askWhole } from '../../shape/whole_asked.ts'
import type { Filter, Outcome } from '../filter.ts'
import { answerChanged } from './answer.ts'

/** Changes requests on their way in, and has their answers changed on their way out. */
export const transform: Filter = {
  name: 'transform',
  build({ rule }) {
    if (rule.transform === undefined) return undefined
    const { request, response } = rule.transform
    const headers = request?.headers && headersChanged(request.headers)
    const edits = request?.body && editsOf(request.body, false)
    const onAnswer = response && answering(response)
    return function transformRequest(exchange) {
      const { received } = exchange
      const grpc = isGrpc(valueOf(received.headers, 'content-type'))
      if (grpc && (edits !== undefined || onAnswer?.bodies === true)) return notGrpc
      const needsBody = (edits !== undefined || onAnswer?.readsRequest === true) && received.bodyLength !== 0
      const finish = (body: Buffer | undefined): Outcome => {
        headers?.(received.headers)
        onAnswer?.prepare(exchange, body)
        return undefined
      }
      if (!needsBody) return finish(undefined)
      const body = plainBody(exchange)
      return body instanceof Promise ? body.then((settled) => edit(exchange, settled, edits, finish)) : edit(exchange, body, edits, finish)
    }
  },
}

function edit(exchange: Exchange, body: Buffer | Failure, edits: Edits | undefined, finish: (body: Buffer) => Outcome): Outcome | Promise<Outcome> {
  if ('code' in body) return body
  if (edits === undefined || body.length === 0) return finish(body)
  const part = partOf(exchange.received.headers, body)
  if (part === undefined) return misfit({ why: 'unreadable', pointer: '' })
  const settle = (json: Buffer | Unchanged): Outcome => {
    if ('why' in json) return misfit(json)
    const changed = joined(part, json, exchange.received.headers)
    if (changed === undefined) return tensors
    replaceBody(exchange, changed)
    return finish(body)
  }
  const edited = edits.apply(part.json, () => valueFacts(exchange, part.json, edits.reads.model))
  return edited instanceof Promise ? edited.then(settle) : settle(edited)
}

const notGrpc = failure('unsupported_translation', 'Requests of this route are changed as JSON on their way, and a gRPC message is none.')
const tensors = failure('invalid_request', 'The body has tensors after its JSON, and what is changed in that would make others of them.')

function misfit({ why, pointer }: Unchanged): Failure {
  if (why === 'unreadable') return failure('invalid_request', 'The body is not one value of JSON with every member named once.')
  return failure('invalid_request', why === 'place' ? `The body has no place for ${pointer}.` : `The value for ${pointer} cannot be worked out from this request.`)
}

type Answering = Readonly<{
  /** Bodies are looked at. */
  bodies: boolean
  readsRequest: boolean
  prepare(exchange: Exchange, body: Buffer | undefined): void
}>

function answering({ headers, body, enrich }: NonNullable<Transform['response']>): Answering {
  const change = headers && headersChanged(headers)
  const edits = body && editsOf(body, true)
  const bodies = edits !== undefined || enrich?.pointer !== undefined || enrich?.confidence !== undefined
  return {
    bodies: edits !== undefined,
    readsRequest: edits?.reads.requestBody === true || edits?.reads.model === true,
    prepare(exchange, requestBody) {
      exchange.explaining?.set('transform', 'the answer is changed too')
      // The first stands nearest to the client, so that the headers are changed last.
      if (change !== undefined) (exchange.stages ??= []).push(headerStage(change))
      if (!bodies) return
      askWhole(exchange.received.headers)
      ;(exchange.stages ??= []).push(...answerChanged(exchange, requestBody, edits, enrich))
    },
  }
}

function headerStage(change: (headers: FlatHeaders) => void): Stage {
  return (to) => ({
    onResponseStart(controller, status, rawHeaders) {
      const headers = rawHeaders.map((text, at) => (at % 2 === 0 ? known(text).name : text))
      change(headers)
      to.onResponseStart(controller, status, headers)
    },
    onResponseData: (controller, chunk) => to.onResponseData(controller, chunk),
    onResponseFlush: () => to.onResponseFlush(),
    onResponseEnd: (controller, trailers) => to.onResponseEnd(controller, trailers),
    onResponseError: (error) => to.onResponseError(error),
  })
}

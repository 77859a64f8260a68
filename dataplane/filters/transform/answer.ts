import type { Enrichment } from '../../../table/shape.ts'
import { failure, type Failure } from '../../pipeline/errors.ts'
import { readLimit } from '../../pipeline/body.ts'
import type { Exchange, Stage } from '../../pipeline/exchange.ts'
import { removeHeader, valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { placesOf } from '../../json/pointer.ts'
import { written } from '../../json/set.ts'
import { Unreadable, worked } from '../../json/text.ts'
import { confidenceOf } from '../../shape/confidence.ts'
import type { Edits, Unchanged } from '../../shape/edits.ts'
import { eachEvent, partsOf, type ChangeEvent } from '../../shape/events.ts'
import { headerMap, valueFacts } from '../../shape/facts.ts'
import { joined, partOf, type Part } from '../../shape/part.ts'
import { whole, type WholeAnswer } from '../../upstream/whole.ts'

/** The stages that change the bodies of answers: of those that come whole, and of streams event by event. */
export function answerChanged(exchange: Exchange, requestBody: Buffer | undefined, edits: Edits | undefined, enrich: Enrichment | undefined): readonly Stage[] {
  const { rule, request: { method } } = exchange
  const unary = whole({
    method,
    max: readLimit(rule?.responseMax ?? Number.POSITIVE_INFINITY),
    wants: (status, headers) => {
      const type = valueOf(headers, 'content-type')
      // What a failed model says is changed where something is taken out of it: it may quote the request.
      return !isGrpc(type) && partsOf(type) === undefined && (status < 300 || edits?.removes === true)
    },
    async change(answer) {
      const headers = [...answer.headers]
      removeHeader(headers, CONFIDENCE)
      const untouched = { ...answer, headers }
      if (answer.body.length === 0) return untouched
      const ok = answer.status < 300
      const part = partOf(headers, answer.body)
      const json = part === undefined ? unreadable : edits === undefined ? part.json : await edited(exchange, requestBody, edits, { ...answer, body: part.json })
      if ('why' in json) return json.why === 'unreadable' && (!ok || edits === undefined) ? untouched : misfit(json)
      if (part === undefined) return untouched
      const said = ok && enrich !== undefined ? await enriched(exchange, { ...part, json }, enrich, headers) : json
      if (said === part.json) return untouched
      const body = joined(part, said, headers)
      return body === undefined ? tensors : { ...untouched, body }
    },
  })
  if (edits === undefined) return [unary]
  const streams = eachEvent((status, headers): ChangeEvent => (json) => {
    // An event is small enough to be read at once.
    const outcome = edits.apply(json, () => valueFacts(exchange, requestBody ?? nothing, edits.reads.model, { status, headers: headerMap(headers), body: json }))
    return outcome instanceof Promise ? tooLong : 'why' in outcome ? misfit(outcome) : outcome
  })
  return [unary, streams]
}

const CONFIDENCE = 'x-modelroute-confidence'
const nothing = Buffer.alloc(0)
const unreadable: Unchanged = { why: 'unreadable', pointer: '' }

function edited(exchange: Exchange, requestBody: Buffer | undefined, edits: Edits, { status, headers, body }: WholeAnswer): Buffer | Unchanged | Promise<Buffer | Unchanged> {
  const facts = () => valueFacts(exchange, requestBody ?? nothing, edits.reads.model, { status, headers: headerMap(headers), body })
  return status < 300 ? edits.apply(body, facts) : edits.remove(body)
}

/** Says where the answer came from, in its headers and where it has an object for that. What has no place for it is left alone. */
async function enriched(exchange: Exchange, part: Part, { pointer, confidence }: Enrichment, headers: FlatHeaders): Promise<Buffer> {
  const sure = confidence && confidenceOf(part, confidence.pointer)
  const low = confidence !== undefined && sure !== undefined && sure < confidence.low
  if (low) headers.push(CONFIDENCE, 'low')
  if (pointer === undefined) return part.json
  const { variant, modelVersion } = exchange
  const said: [string, unknown][] = [
    ['variant', variant?.name ?? ''],
    ...(modelVersion === undefined ? [] : [['model_version', modelVersion] satisfies [string, unknown]]),
    ...(sure === undefined ? [] : [['low_confidence', low] satisfies [string, unknown]]),
  ]
  const places = placesOf(said.map(([name, value]) => [`${pointer}/${name}`, JSON.stringify(value)] as const))
  const body = await worked(written(part.json, places, (text) => text), part.json.length)
  return body instanceof Unreadable ? part.json : body
}

function misfit({ why, pointer }: Unchanged): Failure {
  const cause = why === 'unreadable' ? 'not JSON' : `${why} ${pointer}`
  return { ...failure('response_schema_mismatch', 'The answer of the model is not what it should be.'), cause }
}

const tensors: Failure = { ...failure('response_schema_mismatch', 'The answer of the model is not what it should be.'), cause: 'binary tensors' }
const tooLong: Failure = failure('response_too_large', 'An event of the answer is larger than what is read here.')

import * as v from 'valibot'
import type { Exchange } from '../../pipeline/exchange.ts'
import type { Failure } from '../../pipeline/errors.ts'
import type { Ask, Called, CallTerms } from '../../upstream/call.ts'

/** A vector of length 1. Undefined: there is none now. @param exchange for which it is asked; undefined: for none */
export type Embed = (text: string, exchange: Exchange | undefined) => Promise<Float32Array | undefined>

/** Asks the backend of the model. Never rejects. */
export type CallModel = (ask: Ask, terms: CallTerms) => Promise<Called | Failure>

/** How long a request waits for a vector. Milliseconds. */
const patience = 500
/** After a failure nobody asks for so long, then twice as long, up to the longest. Milliseconds. */
const restFirst = 1_000
const restLongest = 60_000
const dimensionsMax = 16_384
const answerMax = 1_048_576

const Answer = v.object({ data: v.pipe(v.array(v.object({ embedding: v.array(v.pipe(v.number(), v.finite())) })), v.length(1)) })

/**
 * Asks a model for vectors, in OpenAI's words; what its server speaks otherwise is translated. A model that does not
 * answer costs one request its patience, and then nobody anything until it is asked again.
 */
export function createEmbed(call: CallModel, model: string, now: () => number, tell: (why: string) => void): Embed {
  let restsUntil = 0
  let rest = 0
  return async (text, exchange) => {
    const began = now()
    if (began < restsUntil) return undefined
    // One asks first; the others do as if it failed.
    const alone = rest > 0
    if (alone) restsUntil = began + patience
    const body = Buffer.from(JSON.stringify({ model, input: text, encoding_format: 'float' }))
    const headers = ['content-type', 'application/json', 'accept', 'application/json']
    const answer = await call({ method: 'POST', path: '/v1/embeddings', headers, body }, { outer: exchange, timeout: patience, maxBytes: answerMax })
    const vector = 'code' in answer ? answer.detail : vectorOf(answer.status, answer.body)
    if (typeof vector !== 'string') {
      rest = restsUntil = 0
      return vector
    }
    if (exchange?.ended === true) return undefined
    // Of those that failed together the first has said so.
    if (rest > 0 && !alone) return undefined
    if (rest === 0) tell(vector)
    rest = Math.min(restLongest, rest === 0 ? restFirst : rest * 2)
    restsUntil = now() + rest
    return undefined
  }
}

function vectorOf(status: number, body: Buffer): Float32Array | string {
  if (status !== 200) return `it answered ${status}`
  let read: unknown
  try {
    read = JSON.parse(body.toString())
  } catch {
    return 'its answer is no JSON'
  }
  const answer = v.safeParse(Answer, read)
  if (!answer.success) return 'its answer has no one vector'
  const given = answer.output.data[0]?.embedding ?? []
  const length = Math.hypot(...given)
  if (given.length === 0 || given.length > dimensionsMax || !(length > 0)) return 'its vector has no direction'
  return Float32Array.from(given, (number) => number / length)
}

import type { ErrorCode, Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf } from '../pipeline/headers.ts'
import { standIn } from '../pipeline/reply.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { isOwnFault } from '../upstream/again.ts'
import { isConversation } from '../upstream/conversation.ts'
import { destinationOf, type Destination } from '../upstream/destination.ts'
import type { EndpointReport } from '../upstream/fitness.ts'
import { Patience, unreadable } from '../upstream/patience.ts'
import type { Weighed } from '../upstream/pick/pick.ts'
import { changesOf, describeChanges, type Changes, type Seen } from './changes.ts'

/** `changes`: what becomes of the request there. */
export type Step = Readonly<{ filter: string; verdict: 'pass' | 'answer' | 'refuse'; why: string; changes?: Changes }>

/** Whom a request would be sent to. */
export type Sending = Readonly<{
  variant?: string
  endpoint?: string
  /** The endpoints of the variant as its policy sees them, the likeliest first; of many, the first of these. */
  endpoints?: readonly Weighed[]
  /** Endpoints that are not asked at present, and why; of many, the first of these. */
  unfit?: readonly EndpointReport[]
  code?: ErrorCode
  steps: readonly Step[]
}>

/** A variant may have thousands. */
const weighedMax = 100

export const refusal = (filter: string, { code, detail }: Failure): Step => ({ filter, verdict: 'refuse', why: `${code}: ${detail}` })

/** The way on from the choice of a variant, up to where it would be sent: to the first that can take it. */
export async function sendingOf(exchange: Exchange, rule: BuiltRule, chosen: BuiltVariant, { given, tunnel }: Readonly<{ given: Buffer; tunnel: boolean }>): Promise<Sending> {
  const steps: Step[] = []
  const passed: BuiltVariant[] = []
  const next = tunnel ? undefined : rule.next
  let first: Failure | undefined
  for (let variant: BuiltVariant | undefined = chosen; variant !== undefined;) {
    exchange.variant = variant
    if (!tunnel && isConversation(exchange, variant.protocol)) return { ...toldOf(exchange, variant), steps: [...steps, step('each message of the stream is a call of its own')] }
    const before = seen(exchange, given)
    const to = await destinationOf(exchange, rule, variant)
    if (('backend' in to || next !== undefined) && passed.length === 0 && isUnreadable(exchange, rule)) return refusedBy(exchange, chosen, unreadable, steps)
    const refused = 'code' in to ? to : to.backend.foresee()
    const unasked = exchange.told?.unasked === true
    if (refused === undefined || unasked) {
      if ('backend' in to) steps.push(stepTo(before, to))
      if (unasked) steps.push(step('the model was not asked what it takes: nothing of it is known here at present'))
      return { ...toldOf(exchange, variant), steps }
    }
    first ??= refused
    passed.push(variant)
    if (next !== undefined && !isOwnFault(refused)) steps.push({ filter: 'fallback', verdict: 'pass', why: `${variant.name} cannot take it: ${refused.code}` })
    variant = isOwnFault(refused) ? undefined : next?.(passed, true)
  }
  return refusedBy(exchange, chosen, first, steps)
}

/** What the caller says of how long he waits cannot be understood. */
export function isUnreadable({ received: { headers }, startedAt }: Exchange, rule: BuiltRule): boolean {
  return new Patience(rule, headers, isGrpc(valueOf(headers, 'content-type')), startedAt).unreadable
}

/** A request as it is by now, with the Host that it has if nothing is done about that. @param given its body, where nobody has read it yet */
export function seen({ received: { method, path, query, headers, authority }, body }: Exchange, given: Buffer): Seen {
  return { method, path: path + query, headers: [...headers, ...(authority === '' ? [] : ['host', authority])], body: body ?? given }
}

/** Nobody can take it: what is told is why the variant did not that it was for, or what stands in for an answer. */
export function refusedBy(exchange: Exchange, chosen: BuiltVariant | undefined, why: Failure | undefined, steps: readonly Step[]): Sending {
  exchange.variant = chosen
  const of = chosen === undefined ? {} : { variant: chosen.name, ...unfitOf(chosen) }
  if (why === undefined) return { ...of, steps }
  const instead = standIn(exchange, why)
  if (instead === undefined) return { ...of, code: why.code, steps: [...steps, refusal('backend', why)] }
  const said = instead === 'stale' ? 'an answer that is too old, from the cache' : `the static answer, with status ${instead.status}`
  return { ...of, steps: [...steps, { filter: 'fallback', verdict: 'pass', why: said }] }
}

const step = (why: string): Step => ({ filter: 'backend', verdict: 'pass', why })

/** What the backend is sent, beside what the request is by now. */
function stepTo(before: Seen, to: Destination): Step {
  const { variant, method, headers, path, stage } = to
  const changes = changesOf(before, { method, path, headers, body: bodyOf(to) ?? before.body })
  const notes = [
    ...(stage === undefined ? [] : [`said to it in ${variant.protocol}`]),
    ...(variant.model?.name === undefined ? [] : [`asked for the model ${variant.model.name}${variant.model.version === undefined ? '' : ` version ${variant.model.version}`}`]),
    ...(to.http2 ? ['over HTTP/2'] : []),
    ...(changes === undefined ? [] : [describeChanges(changes)]),
  ]
  return { ...step(notes.length === 0 ? 'as it is' : notes.join('; ')), ...(changes && { changes }) }
}

function bodyOf({ body }: Destination): Buffer | undefined {
  if (body === null || body === undefined) return undefined
  return Buffer.isBuffer(body) ? body : Buffer.concat([...body])
}

function toldOf(exchange: Exchange, variant: BuiltVariant): Omit<Sending, 'steps'> {
  const endpoints = variant.backend?.weigh(exchange).slice(0, weighedMax) ?? []
  const [first] = endpoints
  return { variant: variant.name, ...(first && { endpoint: first.endpoint, endpoints }), ...unfitOf(variant) }
}

/** Its endpoints that take no requests at present. */
function unfitOf({ backend }: BuiltVariant): Pick<Sending, 'unfit'> {
  const unfit = backend?.report().endpoints.filter(({ state }) => state !== 'healthy') ?? []
  return unfit.length > 0 ? { unfit: unfit.slice(0, weighedMax) } : {}
}

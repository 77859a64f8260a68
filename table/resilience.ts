import * as v from 'valibot'
import { amount, list, milliseconds, text } from './scalars.ts'

/** What stands between the choice of a variant and the answer of one of its endpoints. All times are milliseconds. */

const percent = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(100))
const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1))

/** How an endpoint is picked within a variant. */
export const Balance = v.pipe(
  v.strictObject({
    policy: v.picklist(['RoundRobin', 'LeastRequest', 'PeakEWMA', 'ConsistentHash', 'InferenceAware']),
    /** Of ConsistentHash, and of nothing else. Header names are lower case. */
    key: v.exactOptional(v.pipe(
      v.variant('by', [
        v.strictObject({ by: v.picklist(['Principal', 'PromptPrefix']) }),
        v.strictObject({ by: v.picklist(['Header', 'Cookie']), name: text }),
      ]),
      v.readonly(),
    )),
    /** How long a new endpoint takes to come to its full share. */
    slowStart: v.exactOptional(positive),
    /** Endpoints of the proxy's own zone first, while they can take the load. */
    zoneAware: v.exactOptional(v.literal(true)),
  }),
  v.readonly(),
)

/** Tries after the first. `budgetPercent`: of the requests under way; `backoff`: before the first of them. */
export const Retry = v.pipe(
  v.strictObject({
    attempts: amount,
    reasons: list(v.picklist(['connect-failure', 'reset-before-response', 'timeout'])),
    codes: list(v.pipe(v.number(), v.integer())),
    budgetPercent: percent,
    backoff: milliseconds,
    /** The calls of V1, V2 and OpenAI that compute may be made twice, as if their method were idempotent. */
    inference: v.exactOptional(v.literal(true)),
  }),
  v.readonly(),
)

/** A second endpoint is asked when the first has been silent for so long. */
export const Hedge = v.pipe(v.strictObject({ after: positive, budgetPercent: percent }), v.readonly())

/** The answer where no backend gives one. */
export const FallbackResponse = v.pipe(
  v.strictObject({ status: v.pipe(v.number(), v.integer()), contentType: text, body: v.string() }),
  v.readonly(),
)

const ActiveHealth = v.pipe(
  v.strictObject({
    /** Model: what each variant says of it. */
    type: v.picklist(['HTTP', 'GRPC', 'Model']),
    /** Of HTTP. */
    path: v.exactOptional(text),
    interval: positive,
    timeout: positive,
    healthy: positive,
    unhealthy: positive,
  }),
  v.readonly(),
)

/** The model that an endpoint must have ready, and in whose words it is asked. */
export const ServedModel = v.pipe(
  v.variant('protocol', [
    v.strictObject({ protocol: v.picklist(['V1', 'V2', 'GRPC']), name: text, version: v.exactOptional(text) }),
    /** Without a name, any model. `base`: what the paths begin with, such as `/openai`. */
    v.strictObject({ protocol: v.literal('OpenAI'), name: v.exactOptional(text), base: v.exactOptional(text) }),
  ]),
  v.readonly(),
)

const PassiveHealth = v.pipe(
  v.strictObject({ consecutiveErrors: positive, window: positive, ejectFor: positive, maxEjectedPercent: percent }),
  v.readonly(),
)

/** Which endpoints are fit to be asked, besides what Kubernetes says. */
export const Health = v.pipe(
  v.strictObject({ active: v.exactOptional(ActiveHealth), passive: v.exactOptional(PassiveHealth) }),
  v.readonly(),
)

/** Limits of one variant in one proxy; an absent one is none. */
export const CircuitBreaker = v.pipe(
  v.strictObject({
    maxRequests: v.exactOptional(positive),
    maxPending: amount,
    errorPercent: v.exactOptional(percent),
    slow: v.exactOptional(v.pipe(v.strictObject({ percent, after: positive }), v.readonly())),
    minRequests: positive,
    openFor: positive,
  }),
  v.readonly(),
)

/** Requests wait so long for a backend that has no endpoint yet. */
export const WakeUp = v.pipe(v.strictObject({ hold: positive }), v.readonly())

export type Balance = v.InferOutput<typeof Balance>
export type Retry = v.InferOutput<typeof Retry>
export type Hedge = v.InferOutput<typeof Hedge>
export type FallbackResponse = v.InferOutput<typeof FallbackResponse>
export type ServedModel = v.InferOutput<typeof ServedModel>
export type ActiveHealth = v.InferOutput<typeof ActiveHealth>
export type PassiveHealth = v.InferOutput<typeof PassiveHealth>
export type Health = v.InferOutput<typeof Health>
export type CircuitBreaker = v.InferOutput<typeof CircuitBreaker>
export type WakeUp = v.InferOutput<typeof WakeUp>

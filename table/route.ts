import * as v from 'valibot'
import { Batching } from './batching.ts'
import { Cache } from './cache.ts'
import { Compose } from './compose.ts'
import { Cors } from './cors.ts'
import { Measured, Mirror, Split } from './delivery.ts'
import { Limit } from './limits.ts'
import { Auth, Authorization, PrincipalMatch } from './principal.ts'
import { Balance, CircuitBreaker, FallbackResponse, Health, Hedge, Retry, WakeUp } from './resilience.ts'
import { Predictions } from './predictions.ts'
import { list, milliseconds, text } from './scalars.ts'
import { Transform } from './shape.ts'
import { Validation } from './validation.ts'
import { Variant } from './variant.ts'

/**
 * The routing table's item: one route of one fleet, ready to run. JSON only, and tied to no resource kind: whatever is
 * compiled into it (ModelRoute today, Gateway API routes later), a proxy sees only this.
 *
 * Objects are strict: a field this proxy does not know means that the controller asks for something it cannot do, so
 * the route is refused, visibly, and its last good version goes on serving.
 */

const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(1))

/** How a header or query parameter is compared. `Regex` is RE2 syntax and matches the whole value. */
const StringMatch = v.pipe(
  v.variant('type', [
    v.strictObject({ type: v.picklist(['Exact', 'Prefix', 'Regex']), name: text, value: v.string() }),
    v.strictObject({ type: v.literal('Present'), name: text }),
  ]),
  v.readonly(),
)

/** The same of a value of the JSON body. */
const BodyMatch = v.pipe(
  v.variant('type', [
    v.strictObject({ type: v.picklist(['Exact', 'Prefix', 'Regex']), pointer: v.string(), value: v.string() }),
    v.strictObject({ type: v.literal('Present'), pointer: v.string() }),
  ]),
  v.readonly(),
)

/** `Prefix` matches whole path elements: `/v1` matches `/v1` and `/v1/x`, not `/v1x`. */
const PathMatch = v.pipe(
  v.strictObject({ type: v.picklist(['Exact', 'Prefix', 'Regex']), value: text }),
  v.readonly(),
)

/** All of its parts must hold. */
const Match = v.pipe(
  v.strictObject({
    path: PathMatch,
    method: v.exactOptional(text),
    /** Names are lower case. */
    headers: list(StringMatch),
    query: list(StringMatch),
    /** The model that the request names, exactly, or by `type`; without `version`, any version of it. */
    model: v.exactOptional(v.pipe(
      v.strictObject({ type: v.exactOptional(v.picklist(['Prefix', 'Regex'])), name: text, version: v.exactOptional(text) }), v.readonly(),
    )),
    /** Values of the JSON body, by JSON Pointers. */
    body: v.exactOptional(list(BodyMatch)),
    /** Networks (`10.0.0.0/8`, `2001:db8::/32`): the caller's address is in one of them. */
    sources: v.exactOptional(list(text)),
    /** Who calls, by the rule's `auth`; without one nobody does. */
    principal: v.exactOptional(PrincipalMatch),
    /** ISO 3166-1 alpha-2, upper case; where it is not known which one it is, none of them. */
    countries: v.exactOptional(list(text)),
    /** CEL over `request` and `principal`. */
    when: v.exactOptional(text),
  }),
  v.readonly(),
)

/** Milliseconds; an absent one is no limit. `request` covers all tries, `backendRequest` one of them. */
const Timeouts = v.pipe(
  v.strictObject({
    request: v.exactOptional(milliseconds),
    backendRequest: v.exactOptional(milliseconds),
    connect: v.exactOptional(milliseconds),
    firstByte: v.exactOptional(milliseconds),
    streamIdle: v.exactOptional(milliseconds),
  }),
  v.readonly(),
)

/** Bytes of a body; an absent one is no limit. */
const SizeLimits = v.pipe(
  v.strictObject({ request: v.exactOptional(bytes), response: v.exactOptional(bytes) }),
  v.readonly(),
)

const Rule = v.pipe(
  v.strictObject({
    name: text,
    /** Any of them; never empty. */
    matches: v.pipe(v.array(Match), v.minLength(1), v.readonly()),
    /** Absent: everybody may call, and nobody is asked. */
    auth: v.exactOptional(Auth),
    /** Absent: whoever may call may do everything. */
    authorization: v.exactOptional(Authorization),
    /** Absent: nothing is said to web pages, and their preflights are requests like others. */
    cors: v.exactOptional(Cors),
    variants: list(Variant),
    /** In place of variants. */
    compose: v.exactOptional(Compose),
    /** The first that holds chooses the variant, past the weights. `header` is lower case. */
    overrides: list(v.pipe(v.strictObject({ header: text, value: v.string(), variant: text }), v.readonly())),
    /** Absent: every request is a new toss. */
    split: v.exactOptional(Split),
    mirror: v.exactOptional(Mirror),
    measured: v.exactOptional(Measured),
    balance: Balance,
    health: v.exactOptional(Health),
    breaker: v.exactOptional(CircuitBreaker),
    wakeUp: v.exactOptional(WakeUp),
    timeouts: Timeouts,
    /** Lower case: where the caller may ask for less time. */
    deadlineHeader: v.exactOptional(text),
    /** Absent: only what certainly did not start is sent again. */
    retry: v.exactOptional(Retry),
    hedge: v.exactOptional(Hedge),
    fallbackResponse: v.exactOptional(FallbackResponse),
    sizeLimits: v.exactOptional(SizeLimits),
    /** Absent: every request is answered by a backend. */
    cache: v.exactOptional(Cache),
    /** What requests and answers must be like. */
    validation: v.exactOptional(Validation),
    batching: v.exactOptional(Batching),
    /** How requests and answers are changed on their way. */
    transform: v.exactOptional(Transform),
    /** Strict: an answer waits until the record of who got it is on disk. */
    audit: v.exactOptional(v.picklist(['Buffered', 'Strict'])),
    /** Absent: no prediction is logged. */
    predictions: v.exactOptional(Predictions),
    /** Filters of the operator's own, in order; `config` is theirs to understand. */
    plugins: v.exactOptional(list(v.pipe(v.strictObject({ name: text, config: v.unknown() }), v.readonly()))),
    /** Every one that applies must allow a request. */
    limits: v.exactOptional(list(Limit)),
  }),
  v.readonly(),
)

export const RouteSchema = v.pipe(
  v.strictObject({
    /** `namespace/name`. */
    id: text,
    /** Connections, caches and counters are never shared between two of these. */
    tenant: text,
    generation: v.pipe(v.number(), v.integer()),
    /** Sorts by age: of two matches equally specific, the one of the smaller `created` wins, then the smaller id. */
    created: v.string(),
    /** Lower case; empty = any; `*.example.com` = any name below it. */
    hostnames: list(text),
    /** Secrets with `tls.crt` and `tls.key` (PEM), to be shown for these hostnames and for no others. */
    certificates: v.exactOptional(list(text)),
    rules: list(Rule),
  }),
  v.readonly(),
)

export type StringMatch = v.InferOutput<typeof StringMatch>
export type PathMatch = v.InferOutput<typeof PathMatch>
export type Match = v.InferOutput<typeof Match>
export type { Target, Variant } from './variant.ts'
export type Timeouts = v.InferOutput<typeof Timeouts>
export type SizeLimits = v.InferOutput<typeof SizeLimits>
export type Rule = v.InferOutput<typeof Rule>
export type Route = v.InferOutput<typeof RouteSchema>

import * as v from 'valibot'

/**
 * What the console shows, of one proxy or of a whole fleet. A process tells what it sees as one of these; those of
 * several processes are put together into one of the same shape, which is why all that flows is told per second and
 * latencies as buckets too. Texts in it come from callers and tenants: nobody may take them for markup.
 */

/** What is looked at, beside the totals; each has a member of the same name in the state, `table` that of `routes`. */
const VIEWS = ['traffic', 'rollouts', 'limits', 'endpoints', 'caches', 'table'] as const


/** How the items of a list may be ordered: the largest first but for `name`. */
export const SORTS = ['requests', 'errors', 'latency', 'name'] as const

/** Items of one list at once, and how far into a list one may look: what is beyond is found by searching. */
export const ITEMS_MAX = 100
export const REACH_MAX = 1000

const natural = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** What somebody looks at. `search`: only items with all of these words somewhere in their names, in lower case. */
export const Look = v.strictObject({
  view: v.picklist(VIEWS),
  search: v.pipe(v.string(), v.maxLength(200)),
  sort: v.picklist(SORTS),
  offset: natural,
  limit: v.pipe(natural, v.maxValue(REACH_MAX)),
})
export type Look = v.InferOutput<typeof Look>

const amount = v.pipe(v.number(), v.minValue(0))
const maybe = v.nullable(amount)
const names = v.array(v.string())

/** Requests of one kind. Whatever is per second is null until it was looked at for a second. */
const Flow = v.object({
  /** Since the processes began, those of routes that are gone left out. */
  requests: amount,
  /** Of these: answered with 5xx or cut off, and answered with 4xx. */
  failed: amount,
  refused: amount,
  inFlight: amount,
  /** `tokens`: both ways, and `cost` in the unit of the prices, where something had to know them. */
  perSecond: v.nullable(v.object({ requests: amount, failed: amount, refused: amount, tokens: amount, cost: amount })),
  /** Requests per second by how long they took from arrival to their last byte, by the bounds of the state and one more. Empty where there were none. */
  latency: v.array(amount),
  /** Seconds; null where there were no requests. */
  p50: maybe,
  p95: maybe,
  p99: maybe,
})

/** Some of the items that are there. `total`: how many the search finds. */
const listOf = <Item extends v.GenericSchema>(item: Item) => v.object({ total: amount, offset: amount, items: v.array(item) })

/** A variant of a rule; of several models under one name, one for each. */
const VariantFlow = v.object({
  variant: v.string(),
  modelVersion: v.string(),
  /** 0 is asked first; those of a higher one are fallbacks. */
  priority: amount,
  /** What the table gives it of its rule and priority, 0 to 1; null where it is in no split (a step of a composition). */
  weight: maybe,
  /** What it got lately of the requests that went to variants of its rule and priority, 0 to 1; null where there were none. */
  share: maybe,
  flow: Flow,
})

/** `route`: `namespace/name`. Both are empty for requests that no rule matched. */
const RuleFlow = v.object({
  route: v.string(),
  rule: v.string(),
  flow: Flow,
  variants: v.array(VariantFlow),
})

/** How requests ended that did not go well: HTTP status, and the code of docs/errors.md where the gateway answered itself. */
const Ending = v.object({ status: amount, code: v.string(), count: amount, perSecond: maybe })

/** Any unit, and any sign. */
const Estimate = v.object({ value: v.number(), low: v.nullable(v.number()), high: v.nullable(v.number()) })

/** A rule that is rolled out. A proxy knows what its table says; steps, gates and phases only the controller. */
const RolloutLine = v.object({
  route: v.string(),
  rule: v.string(),
  phase: v.optional(v.string()),
  message: v.optional(v.string()),
  /** From 1; 0 outside of a rollout. */
  step: v.optional(amount),
  stepStartedAt: v.optional(v.string()),
  /** `percent` of the requests, until what holds: `hold` (a duration), approval. */
  steps: v.optional(v.array(v.object({ percent: amount, hold: v.optional(v.string()), approval: v.optional(v.boolean()) }))),
  /** What a step must pass, and how it stands in this one. */
  gates: v.optional(v.array(v.object({
    name: v.string(),
    state: v.picklist(['passing', 'failing', 'waiting']),
    message: v.string(),
    /** `at most 0.01 and 1.2 × stable`. */
    bound: v.optional(v.string()),
    /** What was measured, and between which limits the truth is; null: nothing was. */
    candidate: v.optional(v.nullable(Estimate)),
    stable: v.optional(v.nullable(Estimate)),
  }))),
  /** What became of it lately, the newest first. */
  history: v.optional(v.array(v.object({ at: v.string(), type: v.picklist(['Normal', 'Warning']), reason: v.string(), message: v.string() }))),
  revision: v.optional(amount),
  /** Of what is seen here: a command goes with it, so that nothing is done to a version that nobody saw. */
  specHash: v.optional(v.string()),
  /** Commands that make sense now, to be sent to `actions.url`. */
  commands: v.optional(names),
  mirror: v.optional(v.object({ variant: v.string(), percent: amount })),
  variants: v.array(v.object({
    variant: v.string(),
    /** Shares of the rule's requests, 0 to 1: in force, and what the rollout leads to. */
    weight: amount,
    target: v.optional(amount),
    /** Of this step: requests, those that failed, and the time to the first byte in seconds. */
    requests: v.optional(amount),
    failed: v.optional(amount),
    p95: v.optional(maybe),
  })),
})

/** One limit of one policy. */
const LimitLine = v.object({
  /** `namespace/policy`. */
  policy: v.string(),
  limit: v.string(),
  /** As its policy words it: `20 requests in 24 h`; empty where the table has it no more. */
  terms: v.string(),
  /** It only watches. */
  shadow: v.boolean(),
  /** allowed, rejected, shadow_rejected, queue_full, queue_timeout, unavailable. */
  decisions: v.array(v.object({ decision: v.string(), count: amount, perSecond: maybe })),
})

/** One who is limited: a consumer, or an address. */
const CallerLine = v.object({
  tenant: v.string(),
  consumer: v.optional(v.string()),
  address: v.optional(v.string()),
  /** Let through, and turned away by a limit. */
  requests: amount,
  rejected: amount,
  perSecond: v.nullable(v.object({ requests: amount, rejected: amount })),
  inputTokens: amount,
  outputTokens: amount,
  /** Of each limit that was asked last; null: not known. */
  limits: v.array(v.object({
    policy: v.string(), limit: v.string(), unit: v.string(), amount, remaining: maybe, resetSeconds: amount,
  })),
})

const EndpointLine = v.object({
  endpoint: v.string(),
  /** healthy, unknown, unhealthy, ejected, half_open. */
  state: v.string(),
  inFlight: amount,
  why: v.optional(v.string()),
  backInMs: v.optional(amount),
})

/** A variant and its endpoints, as one process sees them; `process` tells several apart. */
const UpstreamLine = v.object({
  process: v.string(),
  route: v.string(),
  rule: v.string(),
  variant: v.string(),
  modelVersion: v.string(),
  /** closed, half-open, open; null: there is no breaker. */
  circuit: v.nullable(v.string()),
  /** Requests that have a place of a limited number, wait for one, or wait for an endpoint. */
  inside: maybe,
  waiting: maybe,
  held: amount,
  endpoints: v.array(EndpointLine),
  /** Endpoints that are not listed. */
  omitted: amount,
})

/** `counts`: variants whose circuit is not closed, and endpoints by state. */
const Upstreams = v.object({
  open: amount,
  states: v.array(v.object({ state: v.string(), count: amount })),
  list: listOf(UpstreamLine),
})

const CacheLine = v.object({
  route: v.string(),
  rule: v.string(),
  bytes: amount,
  maxBytes: amount,
  entries: amount,
  evicted: amount,
  /** hit, semantic-hit, miss, bypass, stale. */
  results: v.array(v.object({ result: v.string(), count: amount, perSecond: maybe })),
  /** Of those that the cache was asked for lately, what it answered, 0 to 1; null where there were none. */
  hitRate: maybe,
  /** Hits by meaning are given no more: too many were false. */
  distrusted: v.boolean(),
})

/** A route as the table has it. */
const RouteLine = v.object({
  route: v.string(),
  hostnames: names,
  generation: amount,
  created: v.string(),
  rules: v.array(v.object({
    rule: v.string(),
    /** In words: `POST /v2/models/fraud`. */
    matches: names,
    /** What is done with its requests on the way. */
    filters: names,
    variants: v.array(v.object({ variant: v.string(), weight: amount, priority: amount, target: v.string() })),
  })),
})

/** A proxy that the controller knows. */
const ProxyLine = v.object({
  node: v.string(),
  gateway: v.string(),
  /** The table that it has in force. */
  version: v.nullable(v.string()),
  /** It has what it should have. */
  current: v.boolean(),
  /** Since when, as RFC 3339; null: it is not connected. */
  connectedAt: v.nullable(v.string()),
  /** Routes that it refused. */
  refused: amount,
  /** Null: it did not tell. */
  requestsPerSecond: maybe,
})

export const ConsoleState = v.object({
  /** Milliseconds since the epoch. */
  at: amount,
  server: v.object({
    kind: v.picklist(['proxy', 'fleet']),
    /** Of the machine or pod; of a fleet, of its controller. */
    name: v.string(),
    release: v.string(),
    /** Milliseconds since the epoch. */
    startedAt: amount,
    ready: v.boolean(),
    /** Which took part; those that gave no answer in time are not among them. */
    processes: amount,
  }),
  /** Null before the first. `age`: seconds since a controller said that it is what it should be. */
  table: v.nullable(v.object({ version: v.string(), age: amount, routes: amount, rules: amount })),
  /** Seconds that what is per second was counted over; null: from the next look on. */
  window: maybe,
  /** Upper bounds of the buckets of every `latency`, in seconds; one more bucket holds what is above the last. */
  bounds: v.array(amount),
  total: Flow,
  /** The most frequent first, at most ten. */
  endings: v.array(Ending),
  traffic: v.optional(listOf(RuleFlow)),
  rollouts: v.optional(listOf(RolloutLine)),
  limits: v.optional(v.object({ list: listOf(LimitLine), callers: v.array(CallerLine) })),
  endpoints: v.optional(Upstreams),
  caches: v.optional(listOf(CacheLine)),
  routes: v.optional(listOf(RouteLine)),
  /** Of a fleet. */
  proxies: v.optional(v.array(ProxyLine)),
  /**
   * What a page may do beside looking: nothing unless enabled. A command is `POST url` with JSON
   * `{namespace, route, rule, action, specHash}`, `Authorization: Bearer TOKEN` (which the page asks its reader for, and
   * keeps nowhere but in its memory) and the header `x-modelroute-console: 1`. `explain`: where questions are answered.
   */
  actions: v.object({
    enabled: v.boolean(),
    url: v.optional(v.string()),
    /** Where a page asks whose a token is: the same kind of request, with `{}`, is answered with `{name}`. */
    session: v.optional(v.string()),
    /** What the token is: one of the cluster's, or the one of a file of the controller's. */
    token: v.optional(v.picklist(['kubernetes', 'file'])),
    /** Why there is nothing to press, for whoever looks for it. */
    why: v.optional(v.string()),
  }),
  explain: v.optional(v.string()),
})

export type Flow = v.InferOutput<typeof Flow>
export type VariantFlow = v.InferOutput<typeof VariantFlow>
export type RuleFlow = v.InferOutput<typeof RuleFlow>
export type Ending = v.InferOutput<typeof Ending>
export type RolloutLine = v.InferOutput<typeof RolloutLine>
export type LimitLine = v.InferOutput<typeof LimitLine>
export type CallerLine = v.InferOutput<typeof CallerLine>
export type UpstreamLine = v.InferOutput<typeof UpstreamLine>
export type CacheLine = v.InferOutput<typeof CacheLine>
export type RouteLine = v.InferOutput<typeof RouteLine>
export type ProxyLine = v.InferOutput<typeof ProxyLine>
export type ConsoleState = v.InferOutput<typeof ConsoleState>

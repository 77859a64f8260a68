/** What is done to a part of the world, and when. All times are `performance.now()`. */
export type Fault = {
  readonly what: 'proxy' | 'controller' | 'redis' | 'upstream' | 'API server' | 'network' | 'machine' | 'standstill'
  /** Which of them, where there are several. */
  readonly target: number
  readonly from: number
  /** When all was in order again; Infinity while it is not. */
  to: number
}

/** One request, and what came of it. */
export type Outcome = Readonly<{
  kind: string
  /** The proxy that was asked. */
  proxy: number
  at: number
  end: number
  /** `limited`: refused as its limit says. `wrong`: a whole answer, and another than was to come. `failed`: anything else. */
  was: 'right' | 'limited' | 'wrong' | 'failed'
  /** The gateway's own code, where it answered instead of a backend; `broken`: no whole answer came. */
  code: string
  detail: string
}>

/** So much later what was begun in time may still be under way. Milliseconds. */
const grace = 3000

const ofUpstream: ReadonlySet<string> = new Set(['upstream_connect_failed', 'upstream_reset', 'no_endpoints', 'timeout', 'broken'])

/**
 * What may fail for what reason. Nothing else may: who decides, who counts and who keeps the objects are not asked for a
 * request, so without a controller, Redis or an API server none fails.
 */
const excuses: Readonly<Record<Fault['what'], (outcome: Outcome, fault: Fault) => boolean>> = {
  // What it had in hand ends with it, and for who calls it then there is nobody.
  proxy: ({ proxy, code }, { target }) => proxy === target && code === 'broken',
  // What it had in hand; who comes then goes to another one, where there is one.
  upstream: ({ code }) => ofUpstream.has(code),
  network: ({ code }) => ofUpstream.has(code),
  // It gave the processor to others: then a proxy refuses what it could not do in time, and says so.
  machine: ({ code }) => code === 'overloaded' || code === 'timeout',
  // The sender itself stood still, and the rest with it or not: it was too slow for a proxy, its connection was idle for
  // too long, or its own patience was over when it woke.
  standstill: ({ code }) => code === 'broken' || code === 'status 408' || code === 'overloaded' || code === 'timeout',
  controller: () => false,
  redis: () => false,
  'API server': () => false,
}

/** The fault that a failure is put down to; undefined: there is none. */
export function explain(outcome: Outcome, faults: readonly Fault[]): Fault | undefined {
  return faults.find((fault) => outcome.at <= fault.to + grace && outcome.end >= fault.from && excuses[fault.what](outcome, fault))
}

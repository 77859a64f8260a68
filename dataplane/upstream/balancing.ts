import type { Balance } from '../../table/resilience.ts'
import type { TryOutcome } from './backend.ts'
import type { Group } from './groups.ts'
import { Load } from './load/load.ts'
import { reportIn } from './load/orca.ts'
import { createPicker } from './pick/create.ts'
import { Latency } from './pick/latency.ts'
import { observeFailure } from './pick/peak_ewma.ts'
import type { Picker, Turn } from './pick/pick.ts'
import type { Upstream } from './pool.ts'

/** How the endpoints of one variant of one rule are picked, and what is learnt for that. */
export type Balancing = Readonly<{
  picker: Picker<Upstream>
  /** Hears how a try ended; undefined: nothing is learnt from that. */
  observe: ((upstream: Upstream, outcome: TryOutcome) => void) | undefined
  /** Hears of every pick; undefined: nobody need know. */
  picking: ((group: Group) => void) | undefined
}>

export type BalancingDeps = Readonly<{
  /** The proxy's own; undefined: nobody knows it. */
  zone?: string | undefined
  /** Wants to know what the endpoints of a group tell of their load. */
  follow?: ((group: Group) => void) | undefined
}>

export function createBalancing(balance: Balance, turns: Map<string, Turn>, { zone, follow }: BalancingDeps): Balancing {
  const picker = createPicker<Upstream>(balance, { turns, zone })
  switch (balance.policy) {
    case 'PeakEWMA': return { picker, observe: observeLatency, picking: undefined }
    case 'InferenceAware': return { picker, observe: observeLoad, picking: follow }
    default: return { picker, observe: undefined, picking: undefined }
  }
}

/** Of a stream it is the first byte that tells how fast an endpoint is: how much then comes is up to the request. */
function observeLatency(upstream: Upstream, outcome: TryOutcome): void {
  if (outcome.kind === 'cancelled') return
  const latency = (upstream.latency ??= new Latency())
  const now = performance.now()
  // To have too much to do is to be slow, however fast that is said.
  if (outcome.kind === 'failed' || outcome.status >= 500 || outcome.status === 429) observeFailure(latency, now)
  else latency.observe(outcome.firstByteMs, now)
}

function observeLoad(upstream: Upstream, outcome: TryOutcome): void {
  if (outcome.kind !== 'answered') return
  const { headers, trailers, totalMs, firstByteMs } = outcome
  const last = reportIn(trailers)
  const report = last ?? reportIn(headers)
  if (report === undefined) return
  const age = last === undefined ? totalMs - firstByteMs : 0
  ;(upstream.load ??= new Load()).report(report, upstream.inFlight, performance.now() - age)
}

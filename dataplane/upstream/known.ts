import { failure, type Failure } from '../pipeline/errors.ts'
import type { BuiltVariant } from '../pipeline/rule.ts'
import type { AskVariant } from '../translate/translation.ts'
import type { Given } from '../translate/unary.ts'
import { callBackend, calleeOf } from './call.ts'

/** What a server says of itself and its models. Bytes, and the milliseconds that a request waits for it. */
const saidMax = 1_048_576
const waitMax = 5000
/** How long it is believed, and how long it is not asked again where it said nothing of use. Milliseconds. */
const believedFor = 30_000
const unknownFor = 1000
/** Answers that are kept for a variant, and bytes of one. Names of models are the callers'. */
const keptMax = 64
const keptBytesMax = 65_536

const unasked = failure('no_endpoints', 'No backend is asked for a request that is only imagined.')

type Known = { said: Promise<Given | Failure>; since: number; until: number }

/** A variant is built anew when anything of it changes. */
const known = new WeakMap<BuiltVariant, Map<string, Known>>()

/** Asks the backend of a variant, once for all who want to know the same, and for nobody's request: so that none that leaves takes it along. */
export const askVariant: AskVariant = (exchange, rule, variant, { method, path, headers, body }, olderThan = Number.POSITIVE_INFINITY) => {
  const whole = body === null ? undefined : Buffer.concat(body)
  const key = `${method} ${path} ${whole?.toString('latin1') ?? ''}`
  let kept = known.get(variant)
  if (kept === undefined) known.set(variant, (kept = new Map()))
  const now = performance.now()
  const last = kept.get(key)
  if (last !== undefined && now < last.until && now - last.since < olderThan) return last.said
  if (exchange.explaining !== undefined) {
    if (exchange.told !== undefined) exchange.told.unasked = true
    return Promise.resolve(unasked)
  }
  kept.delete(key)
  const callee = calleeOf(rule, variant, rule.series(exchange.asked, variant))
  const said = callBackend(callee, { method, path, headers, body: whole }, { outer: undefined, timeout: waitMax, maxBytes: saidMax })
    .then((called) => 'code' in called ? called : { ...called, headers: [...called.headers], trailers: [...called.trailers] })
  const one: Known = { said, since: now, until: Number.POSITIVE_INFINITY }
  kept.set(key, one)
  for (const oldest of kept.keys()) {
    if (kept.size <= keptMax) break
    kept.delete(oldest)
  }
  void said.then((given) => {
    const useful = 'status' in given && given.status === 200 && given.body.length <= keptBytesMax
    one.until = performance.now() + (useful ? believedFor : unknownFor)
    if (!useful && 'status' in given && given.body.length > keptBytesMax) kept.delete(key)
  })
  return said
}

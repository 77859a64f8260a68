import type { Route, Rule, Variant } from '../../table/route.ts'
import type { FilterDeps } from '../filters/filter.ts'
import { proofFor } from '../filters/backend_credentials/proof.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { Kind, type FlatHeaders } from '../pipeline/headers.ts'
import { isForeign } from '../translate/index.ts'
import { unsupported } from '../translate/translation.ts'
import { changedBody, renamingOf } from '../upstream/renamed.ts'
import type { BuiltTarget } from '../upstream/groups.ts'
import type { Upstream } from '../upstream/pool.ts'
import { termsOf } from './compare/answers.ts'
import { Copy } from './copy.ts'
import type { CopyOutcome } from './tally.ts'

/** Sends copies of a rule's requests to one of its variants. */
export type Mirror = Readonly<{
  /** Held for the copies alone: their connections are no caller's. */
  target: BuiltTarget
  /** Begins a copy of this request, where it is one of those; the request itself goes on as if nothing were. */
  copy(exchange: Exchange): void
}>

/** Copies are not translated. */
const untranslated = unsupported('The variant of the copies speaks another protocol.')

/** A copy is given up after this, whatever its rule lets callers wait. Milliseconds. */
const patienceMax = 60_000

export function buildMirror(
  route: Route,
  rule: Rule,
  hold: (variant: Variant) => BuiltTarget,
  /** The endpoints of the variant that callers may be sent to; undefined: nothing is known that would tell them apart. */
  usable: (variant: string) => readonly Upstream[] | undefined,
  deps: Pick<FilterDeps, 'mirrors' | 'measurements' | 'vault' | 'backendTokens'>,
): Mirror | undefined {
  const { mirror: spec, timeouts } = rule
  const variant = spec && rule.variants.find(({ name }) => name === spec.variant)
  if (spec === undefined || variant === undefined) return undefined
  const { mirrors } = deps
  const { name, model, credentials } = variant
  const target = hold(variant)
  const tally = mirrors.of(route.id, rule.name, name, model?.version ?? '')
  const counts = deps.measurements.of(route.id, rule)
  const { percent, compare } = spec
  const patience = Math.min(timeouts.backendRequest || patienceMax, timeouts.request || patienceMax, patienceMax)
  const connect = timeouts.connect || undefined
  const take = (): Upstream | undefined => (target.kind === 'group' ? leastBusy(target.group.members, usable(name)) : undefined)

  /** What keeps it from being copied; else the bytes that are held for its body. */
  function admit({ received: { bodyLength }, body }: Exchange): CopyOutcome | number {
    if (target.kind === 'unresolved' || target.group.members.length === 0 || usable(name)?.length === 0 || target.lacks?.() === true) return 'no_endpoints'
    const length = body?.length ?? (bodyLength === 'chunked' ? 0 : bodyLength)
    if (length > mirrors.limits.body) return 'too_large'
    if (mirrors.busy()) return 'busy'
    if (tally.inFlight >= mirrors.limits.inFlight || performance.now() < tally.pausedUntil) return 'full'
    if (!mirrors.moving.take(length)) return 'full'
    return mirrors.hold(length) ? length : 'memory'
  }

  return {
    target,
    copy(exchange) {
      // A tunnel is no request that could be made twice.
      if (exchange.variant?.name === name || (exchange.received.seen & (1 << Kind.upgrade)) !== 0) return
      if (exchange.explaining !== undefined) {
        exchange.explaining.set('mirror', `a copy of ${percent} % of these goes to ${name}`)
        return
      }
      if (!tally.turn(percent)) return
      const { received } = exchange
      const renaming = isForeign(exchange, variant.protocol) ? untranslated : model && renamingOf(received, model)
      const unsaid = renaming !== undefined && 'code' in renaming
      const held = unsaid ? 'unsupported' : admit(exchange)
      if (typeof held === 'string' || unsaid) {
        tally.count(typeof held === 'string' ? held : 'unsupported')
        return
      }
      const place = renaming?.place
      const host = (target.kind === 'group' ? target.host : undefined) ?? received.authority
      const copy = new Copy(exchange, {
        mirrors, tally, take, connect, patience, callerPatience: mirrors.limits.callerPatience, http2: target.kind === 'group' && target.http2,
        path: (renaming?.path ?? received.path) + received.query,
        headers: headersOf(renaming?.headers ?? received.headers, host, compare !== undefined, place !== undefined && place.in !== 'grpc'),
        change: model && place && ((body) => changedBody(received.headers, body, place, model, mirrors.limits.body)),
        proof: () => credentials && proofFor(route.tenant, credentials, deps),
        terms: compare && termsOf(compare, received.path),
        compared: (differs) => counts?.compared(name, differs),
      }, held)
      copy.begin()
    },
  }
}

/** Compressed answers would have to be unpacked to be compared. @param unpacked its body is */
function headersOf(received: Readonly<FlatHeaders>, host: string, compared: boolean, unpacked: boolean): FlatHeaders {
  const headers: FlatHeaders = []
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i] ?? ''
    if (!(compared && name === 'accept-encoding') && !(unpacked && name === 'content-encoding')) headers.push(name, received[i + 1] ?? '')
  }
  if (host !== '') headers.push('host', host)
  headers.push('x-modelroute-mirror', 'true')
  return headers
}

/** @param among those that are where one of these is: connections for copies are others than those for callers */
function leastBusy(members: readonly Upstream[], among: readonly Upstream[] | undefined): Upstream | undefined {
  const places = among && new Set(among.map(({ label }) => label))
  let best: Upstream | undefined
  for (const member of members) if (!member.full && places?.has(member.label) !== false && (best === undefined || member.inFlight < best.inFlight)) best = member
  return best
}

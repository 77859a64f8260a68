import { setImmediate as breathe } from 'node:timers/promises'
import { foresee } from '../explain/explain.ts'
import type { ErrorCode, Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { anonymous, type Verdict } from '../pipeline/principal.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { isPassing, samplesIn, type Sample } from '../portal/offers.ts'
import { framed } from '../protocols/grpc_frames.ts'
import { MessageWriter } from '../protocols/protobuf.ts'
import type { Table } from '../runtime.ts'
import type { Speech } from '../translate/translation.ts'

/** A rule that serves a model to the caller. `usable`: as far as is known here, somebody would answer. */
export type Source = Readonly<{
  rule: BuiltRule
  /** Its variants, those first that get most. */
  order: readonly string[]
  /** What its callers speak. */
  speech: Speech | undefined
  usable: boolean
}>

/** A model that a caller may use, by the name that they have for it. A version that is empty is any. `created`: in seconds. */
export type OfferedModel = Readonly<{ name: string; version: string; owner: string; created: number; sources: readonly Source[] }>

/** As many requests as are tried for one answer; each costs about as much as a request does up to its backend. */
const triedMax = 2000
/** Tried in one go, before others have their turn. */
const stride = 20

/** Nobody would answer at the moment. */
const away: ReadonlySet<ErrorCode | undefined> = new Set<ErrorCode>(['no_endpoints', 'backend_unresolved', 'circuit_open', 'overloaded'])

/** Sorted by name and version. Undefined: no route of this host names a model. */
export async function offeredTo(exchange: Exchange, table: Table): Promise<readonly OfferedModel[] | Failure | undefined> {
  const found = new Map<string, OfferedModel & { sources: Source[] }>()
  let refused: Failure | undefined
  let tried = 0
  for (const { route, rules } of table.routes()) {
    if (!hostHolds(route.hostnames, exchange.host)) continue
    const created = Math.floor(Date.parse(route.created) / 1000) || 0
    for (const [at, rule] of route.rules.entries()) {
      const samples = samplesIn(rule).filter(({ model }) => model !== '')
      const built = rules[at]
      if (samples.length === 0 || built === undefined) continue
      const order = rule.variants.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight).map(({ name }) => name)
      const caller = await callerOf(exchange, built)
      if ('code' in caller) {
        refused ??= caller
        continue
      }
      for (const sample of samples) {
        if (++tried > triedMax) break
        if (tried % stride === 0) await breathe()
        const foreseen = await foresee(table, questionOf(sample, exchange.received.authority), caller)
        if (foreseen.route !== route.id || foreseen.rule !== rule.name || !isPassing(foreseen.code)) continue
        const { model: name, version = '', protocol, grpc } = sample
        const key = `${name} ${version}`
        const model = found.get(key) ?? { name, version, owner: route.tenant, created, sources: [] }
        const speech = grpc ? 'GRPC' : protocol === 'HTTP' ? undefined : protocol
        model.sources.push({ rule: built, order, speech, usable: !away.has(foreseen.code) })
        found.set(key, model)
      }
    }
  }
  if (tried === 0 && refused === undefined) return undefined
  // Whoever might see something with a credential is asked for one.
  if (found.size === 0 && refused !== undefined) return refused
  return [...found.values()].toSorted((a, b) => compare(a.name, b.name) || compare(a.version, b.version))
}

/** Whether a route is for the host of the request. */
export function isHosted({ host }: Exchange, table: Table): boolean {
  for (const { route } of table.routes()) if (hostHolds(route.hostnames, host)) return true
  return false
}

function questionOf({ method, path, headers, model, version, grpc }: Sample, authority: string) {
  const message = new MessageWriter().text(1, model).text(2, version ?? '')
  const type = ['content-type', grpc ? 'application/grpc' : 'application/json'] as const
  return {
    method, url: `http://${authority}${path}`, headers: Object.fromEntries([type, ...headers]),
    ...(method === 'POST' && { body: grpc ? framed(...message.parts) : JSON.stringify({ model }) }),
  }
}

const compare = (a: string, b: string) => (a === b ? 0 : a < b ? -1 : 1)

function callerOf(exchange: Exchange, { authenticate }: BuiltRule): Verdict | Promise<Verdict> {
  return authenticate === undefined ? anonymous : exchange.authenticated(authenticate)
}

function hostHolds(hostnames: readonly string[], host: string): boolean {
  return hostnames.length === 0 || hostnames.some((name) => (name.startsWith('*.') ? host.endsWith(name.slice(1)) : name === host))
}

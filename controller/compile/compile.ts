import { changedMap } from '../../table/changes.ts'
import type { KeySet } from '../../table/credentials.ts'
import type { Secret } from '../../table/secrets.ts'
import type { Snapshot } from '../sources/snapshot.ts'
import type { Compiled, PolicyOutcome, RouteOutcome } from './compiled.ts'
import { createClaims } from './conflicts.ts'
import { createKeys, type KeySetSource } from './credentials.ts'
import { createDrafts, type Drafts } from './drafts.ts'
import { assemble, patch, PEPPER, type Supplies } from './fleets.ts'
import { settle, type Settled, withEndpoints } from './outcomes.ts'
import { judgePolicy } from './judgement.ts'
import { createOwnership, type HostnameBinding } from './ownership.ts'
import { createPolicies, type Policies } from './policies.ts'
import { compileSecret, type SecretSource } from './secrets.ts'
import { createSets, type Sets } from './sets.ts'
import { createShared } from './shared.ts'
import type { CompileOptions, RouteSpec } from './spec.ts'

export type { CompileOptions } from './spec.ts'

/**
 * Turns snapshots of the world into routing tables and verdicts: no clock, no I/O, sorted output. The same snapshot
 * gives the same result whatever was compiled before, with one exception: the last good version of a rule that is
 * invalid now is the one that this compiler last had in force, or, where it has none, the recorded revision.
 *
 *     route → draft (by itself) → settled (against the older routes) → outcome (with its endpoints)
 *
 * Each step runs again only for what changed, and whatever comes out equal keeps its identity.
 */
export function createCompiler(options: CompileOptions): (snapshot: Snapshot) => Compiled {
  const memory = createMemory()
  const draft = createDrafts(options, memory.recall)
  const settleAll = createSettlement(options.hostnameBindings ?? [])
  const endpoints = createSets(options)
  const pepper = pepperOf(options)
  const keysIn = createKeys(options.pepper)
  const keySets = createShared<KeySetSource, KeySet>({
    make: (id, [source], snapshot) => (source ? keysIn(snapshot.secrets).set(source) : { id, keys: [] }),
    same: (a, b) => a.secrets === b.secrets,
  })
  const secrets = createShared<SecretSource, Secret>({
    make: compileSecret,
    same: (a, b) => a.secrets === b.secrets && a.configMaps === b.configMaps,
  })
  const policiesOf = createPolicies()
  const judge = createJudge()
  let compiled: Compiled | undefined
  let ids: readonly string[] = []

  return (snapshot) => {
    const drafts = draft(snapshot)
    const policies = policiesOf(snapshot.rateLimitPolicies)
    const { settled, affected, reshaped } = settleAll(drafts, policies)
    for (const id of affected) {
      const now = settled.get(id)
      memory.keep(id, snapshot.modelRoutes.get(id)?.uid, now?.outcome.inForce)
      const needs = now?.needs ?? []
      endpoints.use(id, needs.flatMap(({ sets }) => sets).map(({ source }) => source))
      keySets.use(id, needs.flatMap((need) => need.keySets))
      secrets.use(id, needs.flatMap((need) => need.secrets))
    }
    const sets = endpoints.compile(snapshot)
    const supplies = {
      endpoints: { get: (key: string) => sets.byId.get(key)?.set, changed: sets.changed },
      credentials: keySets.compile(snapshot),
      secrets: withPepper(secrets.compile(snapshot), pepper),
    }
    const listed = (ids: Iterable<string>) => [...ids].flatMap((id) => settled.get(id) ?? [])
    const fleets =
      compiled && !reshaped
        ? patch(compiled.fleets, listed(affected), supplies)
        : assemble(listed(drafts.ids), supplies, options, compiled?.fleets)
    const routes = outcomesOf(drafts.ids, settled, sets, affected, compiled?.routes, drafts.ids === ids)
    ids = drafts.ids
    const judged = judge(snapshot, policies, settled, affected)
    compiled = { fleets, routes, policies: judged, apiKeys: keysIn(snapshot.secrets).problems }
    return compiled
  }
}

/** Proxies need it to know keys by their digests; it travels with what is as secret. */
function pepperOf({ pepper }: CompileOptions): Secret | undefined {
  return pepper && { id: PEPPER, data: { [PEPPER]: Buffer.from(pepper).toString('base64') } }
}

function withPepper(made: Supplies['secrets'], pepper: Secret | undefined): Supplies['secrets'] {
  return { ...made, get: (id) => (id === PEPPER ? pepper : made.get(id)) }
}

/** What was last in force of each route: exactly what a restarted compiler finds in the recorded revisions. */
function createMemory() {
  const specs = new Map<string, Readonly<{ uid: string; spec: RouteSpec }>>()
  return {
    keep: (id: string, uid: string | undefined, spec: RouteSpec | undefined): void => {
      if (uid !== undefined && spec) specs.set(id, { uid, spec })
      else if (specs.get(id)?.uid !== uid) specs.delete(id)
    },
    /** Deleted and made again is another route, which was never in force. */
    recall: (id: string, uid: string): RouteSpec | undefined => {
      const known = specs.get(id)
      return known?.uid === uid ? known.spec : undefined
    },
  }
}

type Settlement = Readonly<{
  settled: ReadonlyMap<string, Settled>
  /** Settled anew, or gone. */
  affected: ReadonlySet<string>
  /** One of them came, went, or uses other gateways, endpoint sets, key sets or secrets than before. */
  reshaped: boolean
}>

/** Drafts after the conflicts among them, about hosts and then about matches, with the limits that policies have for them. */
function createSettlement(bindings: readonly HostnameBinding[]): (drafts: Drafts, policies: Policies) => Settlement {
  const ownership = createOwnership(bindings)
  const claims = createClaims()
  const settled = new Map<string, Settled>()
  return ({ byId, touched }, policies) => {
    const moved = new Set([...touched, ...ownership.put(byId, touched)])
    const affected = new Set([...moved, ...[...policies.touched].filter((id) => byId.has(id))])
    let reshaped = false
    const ownedOf = (id: string) => {
      const draft = byId.get(id)
      return draft && ownership.owned(draft)
    }
    for (const id of moved) for (const other of claims.put(id, ownedOf(id))) affected.add(other)
    for (const id of affected) {
      const draft = ownedOf(id)
      const before = settled.get(id)
      const after = draft && keep(before, settle(draft, claims.losses(id), policies.of(id)))
      reshaped ||= shapeOf(before) !== shapeOf(after)
      if (after) settled.set(id, after)
      else settled.delete(id)
    }
    return { settled, affected, reshaped }
  }
}

function shapeOf(settled: Settled | undefined): string {
  if (!settled) return ''
  const needed = settled.needs.map(({ sets, keySets, secrets }) =>
    [...sets.map(({ source }) => source), ...keySets, ...secrets].map(({ id }) => id).join(' '))
  return [settled.item ? 'served' : 'idle', ...settled.outcome.gateways, '|', ...settled.hostnames, '|', ...needed].join(' ')
}

/** A route compiled anew into the same item keeps the old one, so that nobody takes it for a change. */
function keep(before: Settled | undefined, after: Settled): Settled {
  if (!before?.item || !after.item) return after
  return JSON.stringify(before.item) === JSON.stringify(after.item) ? { ...after, item: before.item } : after
}

/**
 * @param known those of before, by which an outcome that is equal keeps its identity
 * @param same they are of the same routes
 */
function outcomesOf(
  ids: readonly string[],
  settled: ReadonlyMap<string, Settled>,
  sets: Sets,
  affected: ReadonlySet<string>,
  known: ReadonlyMap<string, RouteOutcome> | undefined,
  same: boolean,
): ReadonlyMap<string, RouteOutcome> {
  const outcomeOf = (id: string): RouteOutcome | undefined => {
    const before = known?.get(id)
    const route = settled.get(id)
    if (before && !affected.has(id) && !sets.users.has(id)) return before
    return route && keepOutcome(before, withEndpoints(route, sets.byId))
  }
  const outcomesFor = (some: Iterable<string>) => [...some].map((id) => [id, outcomeOf(id)] as const)
  if (known && same) return changedMap(known, outcomesFor(new Set([...affected, ...sets.users])))
  return changedMap(new Map(), outcomesFor(ids))
}

function keepOutcome(before: RouteOutcome | undefined, after: RouteOutcome): RouteOutcome {
  return before && JSON.stringify(before) === JSON.stringify(after) ? before : after
}

type Judge = (
  snapshot: Snapshot,
  policies: Policies,
  settled: ReadonlyMap<string, Settled>,
  affected: ReadonlySet<string>,
) => ReadonlyMap<string, PolicyOutcome>

function createJudge(): Judge {
  let outcomes: ReadonlyMap<string, PolicyOutcome> = new Map()
  let before: Snapshot | undefined
  return (snapshot, policies, settled, affected) => {
    const { modelRoutes, rateLimitPolicies } = snapshot
    const same = before?.modelRoutes === modelRoutes && before.rateLimitPolicies === rateLimitPolicies
    if (same && affected.size === 0) return outcomes
    before = snapshot
    const known = outcomes
    const fatesOf = (route: string) => settled.get(route)?.fates ?? []
    outcomes = new Map(
      [...policies.byId].map(([id, draft]) => {
        const after = judgePolicy(draft, modelRoutes, fatesOf)
        const unchanged = JSON.stringify(known.get(id)) === JSON.stringify(after)
        return [id, (unchanged && known.get(id)) || after] as const
      }),
    )
    return outcomes
  }
}

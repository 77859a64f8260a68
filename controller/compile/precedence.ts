import type { Limit } from '../../table/limits.ts'
import type { Verdict } from './compiled.ts'
import { listed } from './problems.ts'
import type { PolicyDraft, TargetRef } from './policies.ts'

/** What became of one limit of a policy on one rule that it is for. */
export type Fate = Readonly<{
  policy: string
  /** Index of the target in the policy. */
  target: number
  rule: string
  limit: string
  /** Absent: it is in force. `conflict`: the two were equal, and the older policy won. */
  lost?: Readonly<{ to: string; conflict: boolean }>
}>

export type Governed = Readonly<{
  limits: ReadonlyMap<string, readonly Limit[]>
  fates: readonly Fate[]
  /** The condition of the route; absent where no policy touches it. */
  affected?: Verdict
}>

type Claim = Readonly<{ policy: PolicyDraft; target: number; rank: number }>

const ungoverned: Governed = { limits: new Map(), fates: [] }

/**
 * The limits of each rule of a route. Limits of different names all hold; of one name there is one, by GEP-713: first
 * the overrides, of the route before those of the rule, then the defaults, of the rule before those of the route; among
 * equals the oldest policy.
 *
 * @param policies those that name the route, the oldest first
 */
export function govern(policies: readonly PolicyDraft[], route: string, rules: readonly string[]): Governed {
  if (policies.length === 0) return ungoverned
  const limits = new Map<string, readonly Limit[]>()
  const fates: Fate[] = []
  const sentences: string[] = []
  for (const rule of rules) {
    const winners = new Map<string, Readonly<{ limit: Limit; claim: Claim }>>()
    const beaten = new Map<string, string[]>()
    for (const claim of claimsOf(policies, route, rule)) {
      for (const limit of claim.policy.limits) {
        const fate = { policy: claim.policy.id, target: claim.target, rule, limit: limit.name }
        const winner = winners.get(limit.name)
        if (winner === undefined) winners.set(limit.name, { limit, claim })
        const to = winner?.claim.policy.id ?? claim.policy.id
        if (to === claim.policy.id) {
          fates.push(fate)
          continue
        }
        fates.push({ ...fate, lost: { to, conflict: winner?.claim.rank === claim.rank } })
        beaten.set(limit.name, [...(beaten.get(limit.name) ?? []), claim.policy.id])
      }
    }
    if (winners.size === 0) continue
    limits.set(rule, [...winners.values()].map(({ limit }) => limit))
    const shown = [...winners].map(([name, { claim }]) => {
      const losers = beaten.get(name)
      return `${name} of ${claim.policy.id}${losers ? ` (before ${losers.join(', ')})` : ''}`
    })
    sentences.push(`Rule ${rule} is limited by ${shown.join(', ')}`)
  }
  if (sentences.length === 0) return ungoverned
  return { limits, fates, affected: { status: 'True', reason: 'PolicyAffected', message: listed(sentences) } }
}

/** The policies that are for a rule, the strongest first. */
function claimsOf(policies: readonly PolicyDraft[], route: string, rule: string): readonly Claim[] {
  const claims = policies.flatMap((policy) => policy.targets.flatMap((ref, target): Claim[] => {
    if (`${policy.namespace}/${ref.name}` !== route || (ref.sectionName ?? rule) !== rule) return []
    return [{ policy, target, rank: rankOf(policy.strategy, ref) }]
  }))
  return claims.sort((a, b) => a.rank - b.rank)
}

function rankOf(strategy: PolicyDraft['strategy'], { sectionName }: TargetRef): number {
  if (strategy === 'Overrides') return sectionName === undefined ? 0 : 1
  return sectionName === undefined ? 3 : 2
}

import type { RouteDraft } from './routes.ts'

/** A match that another route already has, on some or all of its gateways and hostnames. */
export type Loss = Readonly<{
  rule: number
  match: number
  /** The older route and its rule. */
  winner: string
  /** Nothing of the match is left; otherwise it holds elsewhere. */
  whole: boolean
  /** On which hosts. */
  hosts: readonly string[]
}>

type Claim = Readonly<{
  key: string
  id: string
  created: string
  gateways: readonly string[]
  ruleName: string
  rule: number
  match: number
  host: string
}>

/**
 * Who holds which match. Kept from one compilation to the next, since an edit touches few of them: `put` returns the
 * routes whose losses may have changed. The outcome does not depend on the order of the calls.
 */
export type Claims = Readonly<{
  put: (id: string, draft: RouteDraft | undefined) => ReadonlySet<string>
  losses: (id: string) => readonly Loss[]
}>

export function createClaims(): Claims {
  const byKey = new Map<string, Claim[]>()
  const byRoute = new Map<string, readonly Claim[]>()

  const put = (id: string, draft: RouteDraft | undefined): ReadonlySet<string> => {
    const before = byRoute.get(id) ?? []
    const after = draft ? claimsOf(draft) : []
    if (sameClaims(before, after)) {
      // Places in the spec may have moved, so the new ones still replace the old ones.
      replace(before, after)
      if (after.length > 0) byRoute.set(id, after)
      return new Set()
    }
    const touched = new Set<string>()
    for (const { key } of before) for (const claim of byKey.get(key) ?? []) touched.add(claim.id)
    replace(before, after)
    for (const { key } of after) for (const claim of byKey.get(key) ?? []) touched.add(claim.id)
    if (after.length > 0) byRoute.set(id, after)
    else byRoute.delete(id)
    touched.delete(id)
    return touched
  }

  const replace = (before: readonly Claim[], after: readonly Claim[]): void => {
    for (const claim of before) {
      const left = (byKey.get(claim.key) ?? []).filter((other) => other !== claim)
      if (left.length > 0) byKey.set(claim.key, left)
      else byKey.delete(claim.key)
    }
    for (const claim of after) {
      const there = byKey.get(claim.key)
      if (there) there.push(claim)
      else byKey.set(claim.key, [claim])
    }
  }

  const losses = (id: string): readonly Loss[] => {
    const found = new Map<
      string,
      { losses: { winner: Claim; host: string; whole: boolean }[]; claims: number; claim: Claim }
    >()
    const claims = byRoute.get(id) ?? []
    if (claims.every(({ key }) => byKey.get(key)?.length === 1)) return []
    for (const claim of claims) {
      const key = `${claim.rule} ${claim.match}`
      const sum = found.get(key) ?? { losses: [], claims: 0, claim }
      found.set(key, sum)
      sum.claims++
      const older = (byKey.get(claim.key) ?? []).filter((other) => other.id !== id && goesFirst(other, claim))
      const lost = claim.gateways.filter((gateway) => older.some(({ gateways }) => gateways.includes(gateway)))
      if (lost.length === 0) continue
      const winner = older.filter(({ gateways }) => gateways.includes(lost[0] ?? '')).sort(byAge)[0]
      if (winner) sum.losses.push({ winner, host: claim.host, whole: lost.length === claim.gateways.length })
    }
    return [...found.values()].flatMap(({ losses, claims, claim }) => {
      const first = losses[0]
      if (!first) return []
      const whole = losses.length === claims && losses.every((loss) => loss.whole)
      const hosts = losses.map((loss) => loss.host)
      return [
        {
          rule: claim.rule,
          match: claim.match,
          winner: `route ${first.winner.id} (rule ${first.winner.ruleName})`,
          whole,
          hosts,
        },
      ]
    })
  }

  return { put, losses }
}

function claimsOf(draft: RouteDraft): readonly Claim[] {
  const { id, gateways } = draft
  const hosts = draft.hostnames.length > 0 ? draft.hostnames : ['*']
  if (gateways.length === 0) return []
  return draft.rules.flatMap(({ matches, rest }, rule) =>
    matches.flatMap(({ key }, at) =>
      hosts.map((host) => {
        const created = draft.resource.created
        return { key: `${host} ${key}`, id, created, gateways, ruleName: rest.name, rule, match: at, host }
      }),
    ),
  )
}

function sameClaims(a: readonly Claim[], b: readonly Claim[]): boolean {
  return (
    a.length === b.length &&
    a.every((claim, at) => {
      const other = b[at]
      return (
        claim.key === other?.key &&
        claim.created === other.created &&
        claim.ruleName === other.ruleName &&
        claim.gateways.join() === other.gateways.join()
      )
    })
  )
}

function goesFirst(a: Claim, b: Claim): boolean {
  return a.created === b.created ? a.id < b.id : a.created < b.created
}

function byAge(a: Claim, b: Claim): number {
  if (a.id === b.id) return a.rule - b.rule || a.match - b.match
  return goesFirst(a, b) ? -1 : 1
}

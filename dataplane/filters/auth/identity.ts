import type { Credential } from '../../../table/principal.ts'
import type { Principal } from '../../pipeline/principal.ts'

type Names = Extract<Credential, { kind: 'jwt' }>['claims']

/** A name that a backend is told of, and that counters and logs carry. */
const nameMax = 253
const namesMax = 256

/** Who the claims say calls; or what of them cannot be taken for that. */
export function identify(via: Principal['via'], claims: ReadonlyMap<string, unknown>, names: Names): Principal | string {
  const consumer = nameOf(claims.get(names.consumer))
  if (consumer === undefined) return `no claim ${names.consumer} that could be a name`
  const groups = listOf(claims.get(names.groups), (text) => [text])
  if (groups === undefined) return `the claim ${names.groups} is no list of names`
  const scopes = listOf(claims.get(names.scopes), (text) => text.split(' ').filter((scope) => scope !== ''))
  if (scopes === undefined) return `the claim ${names.scopes} is no list of names`
  const tier = claims.get(names.tier) ?? undefined
  if (tier !== undefined && nameOf(tier) === undefined) return `the claim ${names.tier} is no name`
  return { via, consumer, groups, tier: nameOf(tier), scopes, claims }
}

/** Whole numbers too: some issuers number their users. */
function nameOf(value: unknown): string | undefined {
  const text = Number.isSafeInteger(value) ? String(value) : value
  return typeof text === 'string' && text !== '' && text.length <= nameMax ? text : undefined
}

function listOf(value: unknown, split: (text: string) => readonly string[]): readonly string[] | undefined {
  if (value === undefined || value === null) return []
  const list: readonly unknown[] | undefined = typeof value === 'string' ? split(value) : Array.isArray(value) ? value : undefined
  if (list === undefined || list.length > namesMax) return undefined
  const names = list.map(nameOf).filter((name) => name !== undefined)
  return names.length === list.length ? names : undefined
}

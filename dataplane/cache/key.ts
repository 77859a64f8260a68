import { hash } from 'node:crypto'
import type { Route, Rule, Variant } from '../../table/route.ts'
import { networkOf } from '../pipeline/caller.ts'
import type { Principal } from '../pipeline/principal.ts'

/** Texts as one, so that different lists never become the same. */
export function joined(parts: readonly string[]): string {
  let text = ''
  for (const part of parts) text += `${part.length}:${part}`
  return text
}

/**
 * What a rule's answers follow from, beside the request: whose route it is, all that the rule says, and who answers. Of
 * what it says, weights and limits make no difference to an answer, and the other variants none to this one's. A number
 * that counts generations would not do: it begins again when a route is deleted and made anew.
 */
export function groundOf({ id, tenant }: Route, rule: Rule, variant: Variant): string {
  const { variants: _, limits: _limits, measured: _measured, ...says } = rule
  return joined([tenant, id, rule.name, hash('sha256', JSON.stringify([says, { ...variant, weight: 0 }]), 'hex')])
}

/** For whom an answer is. @param credentials the caller's own that the backend is shown */
export function partitionOf(
  scope: 'Principal' | 'Tenant' | 'Shared',
  principal: Principal | undefined,
  address: string,
  credentials: readonly string[],
): string {
  if (scope === 'Shared') return 's'
  if (principal === undefined || principal.consumer === '') return joined(['a', networkOf(address), ...credentials])
  if (scope === 'Tenant') return 't'
  return joined(['p', nameOf(principal), ...credentials])
}

const names = new WeakMap<Principal, string>()

/** All that a backend is told of a caller. */
function nameOf(principal: Principal): string {
  let name = names.get(principal)
  if (name === undefined) {
    const { via, consumer, tier, groups } = principal
    name = joined([via, consumer, tier ?? '', tier === undefined ? '' : 't', ...[...groups].sort()])
    names.set(principal, name)
  }
  return name
}

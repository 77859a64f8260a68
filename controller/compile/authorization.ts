import { compileCondition } from '../../table/expression.ts'
import type { Permission, PrincipalMatch } from '../../table/principal.ts'
import type { Problem } from '../sources/snapshot.ts'
import { sorted } from './names.ts'
import { invalid } from './problems.ts'
import type { AuthorizationSpec, PrincipalSpec } from './spec.ts'

/** What callers may do. */
export function compileAuthorization({ allow }: AuthorizationSpec, place: string, problems: Problem[]): readonly Permission[] {
  if (allow.length === 0) problems.push(invalid(`${place}.allow`, 'lets nobody do anything; give a permission'))
  return allow.map((permission, at) => {
    const { when } = permission
    compileWhen(when, `${place}.allow[${at}].when`, problems)
    return {
      consumers: sorted(permission.consumers),
      groups: sorted(permission.groups),
      tiers: sorted(permission.tiers),
      scopes: sorted(permission.scopes),
      models: sorted(permission.models),
      methods: sorted(permission.methods),
      ...(when !== undefined && { when }),
    }
  })
}

/** Whether permissions ask who calls, which nobody knows where nobody was asked. */
export function asksWho(permissions: readonly Permission[]): boolean {
  return permissions.some(({ consumers, groups, tiers, scopes, when }) => (when !== undefined && readsPrincipal(when)) || consumers.length + groups.length + tiers.length + scopes.length > 0)
}

export function readsPrincipal(when: string): boolean {
  const condition = compileCondition(when)
  return !('fault' in condition) && condition.readsPrincipal
}

function compileWhen(when: string | undefined, place: string, problems: Problem[]): void {
  const condition = when === undefined ? undefined : compileCondition(when)
  if (condition && 'fault' in condition) problems.push(invalid(place, condition.fault))
}

export function compilePrincipal(spec: PrincipalSpec): PrincipalMatch {
  const claims = (spec.claims ?? []).map(({ name, value }) => ({ name, value }))
  return {
    consumers: sorted(spec.consumers),
    groups: sorted(spec.groups),
    tiers: sorted(spec.tiers),
    claims: claims.sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
}

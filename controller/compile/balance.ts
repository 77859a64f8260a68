import type { Balance } from '../../table/resilience.ts'
import type { Problem } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote } from './problems.ts'
import type { LoadBalancingSpec } from './spec.ts'

export function compileBalance(spec: LoadBalancingSpec | undefined, place: string, problems: Problem[]): Balance {
  if (!spec) return { policy: 'LeastRequest' }
  const { policy = 'LeastRequest', slowStart: text, zoneAware } = spec
  const slowStart = text === undefined ? 0 : parseDuration(text)
  if (slowStart === null) problems.push(invalid(`${place}.slowStart`, `${quote(text ?? '')} is no duration; write one such as 30s or 1m30s`))
  const key = compileKey(spec)
  return { policy, ...(key && { key }), ...(slowStart && { slowStart }), ...(zoneAware && { zoneAware }) }
}

/** The schema holds `hashOn` and `name` to the policy and to each other. */
function compileKey({ hashOn, name = '' }: LoadBalancingSpec): Balance['key'] {
  if (hashOn === 'Header') return { by: 'Header', name: name.toLowerCase() }
  // Names of cookies have a case (RFC 6265 section 4.1.1).
  if (hashOn === 'Cookie') return { by: 'Cookie', name }
  return hashOn && { by: hashOn }
}

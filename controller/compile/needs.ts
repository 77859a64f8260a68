import type { KeySetSource } from './credentials.ts'
import type { SecretSource } from './secrets.ts'
import type { SetSource } from './targets.ts'

/** What a rule names that travels beside the routes, collected while the rule is compiled. */
export type Needs = Readonly<{
  /** Endpoint sets, and where the references to them stand. */
  sets: { source: SetSource; place: string }[]
  keySets: KeySetSource[]
  secrets: SecretSource[]
}>

export function noNeeds(): Needs {
  return { sets: [], keySets: [], secrets: [] }
}

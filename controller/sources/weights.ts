import type { ModelRoute } from '../../crds/types.gen.ts'

/** A change of one variant's weight. `at`: its places in `spec.rules` and `backendRefs`; `had`: one was written there. */
export type WeightChange = Readonly<{ at: readonly [rule: number, ref: number]; weight: number; had: boolean }>

/** The same, and what it is about. */
export type Reweighing = Readonly<{ variant: string; from: number; to: number; change: WeightChange }>

/** What is to change so that variants of a rule have these weights; nothing where they do. Throws where there is no such variant. */
export function reweighings(spec: ModelRoute['spec'], route: string, rule: string, wanted: ReadonlyMap<string, number>): readonly Reweighing[] {
  const at = spec.rules.findIndex((each) => each.name === rule)
  const refs = spec.rules[at]?.backendRefs ?? []
  for (const variant of wanted.keys()) {
    if (!refs.some((ref) => ref.variant === variant)) {
      throw new Error(`rule ${rule} of ${route} has no variant ${variant}; it has ${refs.map((ref) => ref.variant).join(', ')}`)
    }
  }
  return refs.flatMap(({ variant, weight }, index) => {
    const to = wanted.get(variant)
    const from = weight ?? 1
    if (to === undefined || to === from) return []
    return [{ variant, from, to, change: { at: [at, index], weight: to, had: weight !== undefined } }]
  })
}

/** A change of one variant's weight. `at`: its places in `spec.rules` and `backendRefs`; `had`: one was written there. */
export type WeightChange = Readonly<{ at: readonly [rule: number, ref: number]; weight: number; had: boolean }>

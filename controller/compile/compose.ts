import type { Problem } from '../sources/snapshot.ts'
import { invalid } from './problems.ts'
import type { ComposeSpec } from './spec.ts'

/** Steps that wait for each other, written out: `a → b → a`. */
export function composeFaults(spec: ComposeSpec, place: string): readonly Problem[] {
  const cycle = findCycle(new Map(spec.steps.map((step) => [step.name, step.dependsOn ?? []])))
  if (!cycle) return []
  return [
    invalid(`${place}.steps`, `steps depend on each other in a circle: ${cycle.join(' → ')}; remove one dependsOn`),
  ]
}

/** Depth first over at most as many steps as the schema allows. Unknown names are leaves. */
function findCycle(edges: ReadonlyMap<string, readonly string[]>): readonly string[] | null {
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (step: string): readonly string[] | null => {
    const seen = trail.indexOf(step)
    if (seen >= 0) return [...trail.slice(seen), step]
    if (done.has(step)) return null
    trail.push(step)
    for (const next of edges.get(step) ?? []) {
      const cycle = visit(next)
      if (cycle) return cycle
    }
    trail.pop()
    done.add(step)
    return null
  }
  for (const step of edges.keys()) {
    const cycle = visit(step)
    if (cycle) return cycle
  }
  return null
}

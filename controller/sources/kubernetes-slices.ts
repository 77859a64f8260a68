import { changedMap } from '../../table/changes.ts'
import { keyOf } from '../kubernetes/api.ts'
import type { Change } from '../kubernetes/change.ts'
import { SERVICE_LABEL } from './kubernetes-objects.ts'
import type { EndpointSlice } from './snapshot.ts'

/** The slices by their Service, each list sorted by name; a list that did not change keeps its identity. */
export class Slices {
  readonly #byService = new Map<string, readonly EndpointSlice[]>()
  #copy: ReadonlyMap<string, readonly EndpointSlice[]> = new Map()
  /** Services with other slices than those in the copy. */
  #changed = new Set<string>()

  /** Answers whether somebody stopped being ready: that can't wait, since requests are on their way there. */
  apply(changes: readonly Change<EndpointSlice>[]): boolean {
    let removed = false
    for (const { before, after } of changes) {
      const from = before && serviceOf(before)
      const to = after && serviceOf(after)
      for (const service of [from, to]) if (service !== undefined) this.#changed.add(service)
      if (from !== undefined) {
        const rest = (this.#byService.get(from) ?? []).filter(slice => slice !== before)
        if (rest.length === 0) this.#byService.delete(from)
        else this.#byService.set(from, rest)
      }
      if (to !== undefined && after !== undefined) {
        const list = [...this.#byService.get(to) ?? [], after]
        this.#byService.set(to, list.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)))
      }
      removed ||= before !== undefined && lostOne(before, after)
    }
    return removed
  }

  /** A copy that later changes leave alone. */
  all(): ReadonlyMap<string, readonly EndpointSlice[]> {
    if (this.#changed.size > 0) {
      this.#copy = changedMap(this.#copy, [...this.#changed].map((service) => [service, this.#byService.get(service)] as const))
      this.#changed = new Set()
    }
    return this.#copy
  }
}

function serviceOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.[SERVICE_LABEL]
  return name === undefined ? undefined : keyOf(slice.metadata.namespace, name)
}

function lostOne(before: EndpointSlice, after: EndpointSlice | undefined): boolean {
  const left = after === undefined ? new Set<string>() : readyOf(after)
  for (const address of readyOf(before)) if (!left.has(address)) return true
  return false
}

/** Absent means ready. */
function readyOf(slice: EndpointSlice): Set<string> {
  const ready = (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false)
  return new Set(ready.flatMap(({ addresses }) => addresses))
}

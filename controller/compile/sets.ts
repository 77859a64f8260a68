import { differences } from '../../table/changes.ts'
import type { Snapshot } from '../sources/snapshot.ts'
import { type CompiledSet, compileSet, sameSet } from './endpoints.ts'
import type { CompileOptions } from './spec.ts'
import type { SetSource } from './targets.ts'

export type Sets = Readonly<{
  byId: ReadonlyMap<string, CompiledSet>
  /** Routes that have a variant with one of the sets that are other than before, or new. */
  users: ReadonlySet<string>
  /** Other than before, or new. */
  changed: ReadonlySet<string>
}>

type Entry = {
  source: SetSource
  users: string[]
  /** What it was compiled from; the same, the same set. */
  service?: unknown
  slices?: unknown
  inferenceService?: unknown
  compiled: boolean
}

export type EndpointSets = Readonly<{
  /** Says which sets a route uses from now on. */
  use: (route: string, sources: readonly SetSource[]) => void
  compile: (snapshot: Snapshot) => Sets
}>

/** Compiles the endpoint sets that routes use; one is compiled again only when its Service or slices changed. */
export function createSets(options: CompileOptions): EndpointSets {
  const entries = new Map<string, Entry>()
  const used = new Map<string, readonly SetSource[]>()
  const byId = new Map<string, CompiledSet>()
  const fresh = new Set<string>()
  /** The sets of each Service. */
  const ofService = new Map<string, Set<string>>()
  let before: Snapshot | undefined

  const use = (route: string, sources: readonly SetSource[]): void => {
    const before = used.get(route)
    if (before) leave(route, before)
    for (const source of sources) {
      const entry = entries.get(source.id)
      if (!entry) {
        entries.set(source.id, { source, users: [route], compiled: false })
        fresh.add(source.id)
        ofService.set(source.service, (ofService.get(source.service) ?? new Set()).add(source.id))
      } else if (!entry.users.includes(route)) entry.users.push(route)
    }
    if (before) dispose(before)
    if (sources.length > 0) used.set(route, sources)
    else used.delete(route)
  }

  const leave = (route: string, sources: readonly SetSource[]): void => {
    for (const { id } of sources) {
      const entry = entries.get(id)
      if (entry) entry.users = entry.users.filter((user) => user !== route)
    }
  }

  const dispose = (sources: readonly SetSource[]): void => {
    for (const { id, service } of sources) {
      if (entries.get(id)?.users.length !== 0) continue
      entries.delete(id)
      ofService.get(service)?.delete(id)
      if (ofService.get(service)?.size === 0) ofService.delete(service)
      byId.delete(id)
      fresh.delete(id)
    }
  }

  const compile = (snapshot: Snapshot): Sets => {
    const changed = new Set<string>()
    const users = new Set<string>()
    const look = (id: string, entry: Entry): void => {
      if (upToDate(entry, snapshot)) return
      const old = byId.get(id)
      const after = compileSet(entry.source, snapshot, options)
      const same = old !== undefined && sameSet(old.set, after.set)
      if (same && old.note === after.note) return
      byId.set(id, same ? { ...after, set: old.set } : after)
      changed.add(id)
      for (const user of entry.users) users.add(user)
    }
    if (before && sameServices(before, snapshot)) {
      const others = [...differences(before.endpointSlices, snapshot.endpointSlices)].flatMap((service) => [...ofService.get(service) ?? []])
      for (const id of new Set([...fresh, ...others])) {
        const entry = entries.get(id)
        if (entry) look(id, entry)
      }
    } else entries.forEach((entry, id) => look(id, entry))
    fresh.clear()
    before = snapshot
    return { byId, users, changed }
  }

  return { use, compile }
}

function upToDate(entry: Entry, snapshot: Snapshot): boolean {
  const { service: key, mode, inferenceService: through } = entry.source
  const service = snapshot.services.get(key)
  const slices = mode === 'Pods' ? snapshot.endpointSlices.get(key) : undefined
  const inferenceService = through === undefined ? undefined : snapshot.inferenceServices.get(through)
  const same =
    entry.compiled &&
    entry.slices === slices &&
    entry.service === service &&
    entry.inferenceService === inferenceService
  if (!same) Object.assign(entry, { service, slices, inferenceService, compiled: true })
  return same
}

function sameServices(a: Snapshot, b: Snapshot): boolean {
  return a.services === b.services && a.inferenceServices === b.inferenceServices
}

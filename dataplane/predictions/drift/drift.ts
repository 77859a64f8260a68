import type { Rule } from '../../../table/route.ts'
import { detached } from '../../pipeline/recalled.ts'
import type { Shown } from '../body.ts'
import type { Seen } from '../watch.ts'
import type { Side } from '../../tensors/read_json.ts'
import { Column, kindOf, type ColumnReport } from './column.ts'
import { readRows } from './read.ts'

/** Columns of one side of a version, and of all together: each takes some 20 KiB at most. */
const columnsMax = 64
const allMax = 2048
/** Of one variant. */
const versionsMax = 4
/** Characters of a column's name. */
const nameMax = 64

/** What one version of a model was asked and answered, as one process saw it. */
export type VersionReport = Readonly<{
  route: string
  rule: string
  variant: string
  version: string
  /** Where the rule has the variant: the first is what others are held against. */
  order: number
  requests: number
  inputs: readonly ColumnReport[]
  outputs: readonly ColumnReport[]
  /** Values that have no column, because there are as many as there may be. */
  left: number
}>

type Version = Omit<VersionReport, 'requests' | 'inputs' | 'outputs' | 'left' | 'order'> & { order: number; requests: number; left: number; inputs: Map<string, Column>; outputs: Map<string, Column> }

/** Statistics of what models are asked and answer, by version. Bounded, whatever callers send. */
export class Drift {
  readonly #routes = new Map<string, Map<string, Version>>()
  #columns = 0
  #turn = 0

  take(seen: Pick<Seen, 'route' | 'rule' | 'variant' | 'knownVersion' | 'asked' | 'answered'>, order: number, { inputs, outputs, spells }: Readonly<{ inputs: Shown; outputs: Shown | undefined; spells: boolean }>): void {
    const version = this.#versionOf(seen, order)
    version.requests++
    readRows('inputs', seen.asked, inputs, (row) => this.#put(version, 'inputs', row, spells))
    if (seen.answered !== undefined && outputs !== undefined) readRows('outputs', seen.answered, outputs, (row) => this.#put(version, 'outputs', row, spells))
  }

  #versionOf({ route, rule, variant, knownVersion: version }: Parameters<Drift['take']>[0], order: number): Version {
    let ofRoute = this.#routes.get(route)
    if (ofRoute === undefined) this.#routes.set(route, ofRoute = new Map())
    const key = JSON.stringify([rule, variant, version])
    let found = ofRoute.get(key)
    if (found === undefined) {
      this.#makeRoom(ofRoute, rule, variant)
      ofRoute.set(key, found = { route, rule, variant, version, order, requests: 0, left: 0, inputs: new Map(), outputs: new Map() })
    }
    found.order = order
    return found
  }

  /** A route that is edited again and again has the last few versions of each variant. */
  #makeRoom(ofRoute: Map<string, Version>, rule: string, variant: string): void {
    const known = [...ofRoute].filter(([, one]) => one.rule === rule && one.variant === variant)
    const [oldest] = known
    if (known.length >= versionsMax && oldest !== undefined) this.#forget(ofRoute, ...oldest)
  }

  #forget(ofRoute: Map<string, Version>, key: string, { inputs, outputs }: Version): void {
    ofRoute.delete(key)
    this.#columns -= inputs.size + outputs.size
  }

  #put(version: Version, side: Side, row: Iterable<readonly [name: string, value: unknown]>, spells: boolean): void {
    const turn = ++this.#turn
    const columns = version[side]
    for (const [name, value] of row) {
      const column = columns.get(name) ?? this.#begin(version, columns, name, value)
      if (column === undefined || column.seenAt === turn) continue
      column.seenAt = turn
      column.add(value, spells)
    }
    for (const column of columns.values()) if (column.seenAt !== turn) column.miss()
  }

  /** A column is of the kind of its first value. */
  #begin(version: Version, columns: Map<string, Column>, name: string, value: unknown): Column | undefined {
    const kind = kindOf(value)
    if (kind === undefined) return undefined
    if (columns.size >= columnsMax || this.#columns >= allMax || name.length > nameMax) {
      version.left++
      return undefined
    }
    this.#columns++
    const own = detached(name)
    const column = new Column(own, kind)
    columns.set(own, column)
    return column
  }

  /** Forgets what is in no rule any more, and versions that no variant has. */
  prune(id: string, live: ReadonlyMap<string, Rule>): void {
    const ofRoute = this.#routes.get(id)
    if (ofRoute === undefined) return
    for (const [key, version] of ofRoute) {
      if (live.get(version.rule)?.variants.some(({ name }) => name === version.variant) !== true) this.#forget(ofRoute, key, version)
    }
    if (ofRoute.size === 0) this.#routes.delete(id)
  }

  report(): readonly VersionReport[] {
    return [...this.#routes.values()].flatMap((ofRoute) => [...ofRoute.values()]).map(({ inputs, outputs, ...version }) =>
      ({ ...version, inputs: [...inputs.values()].map((column) => column.report()), outputs: [...outputs.values()].map((column) => column.report()) }))
  }
}

import type { Refusal } from '../table/messages.ts'
import type { Route, Variant } from '../table/route.ts'
import type { Active } from './store.ts'
import { createIndex, findMatch, methodsServed, type Index } from './pipeline/lookup.ts'
import { compileMatches, type Candidate, type Matchable } from './pipeline/match.ts'
import { createPatterns, type Patterns } from './pipeline/patterns.ts'
import { buildRule, type BuiltRule, type RuleState } from './pipeline/rule.ts'
import { SeriesSet } from './telemetry/series.ts'
import { Groups } from './upstream/groups.ts'
import { Upstreams } from './upstream/pool.ts'
import { originOf } from './upstream/origin.ts'

export type Found = Readonly<{ rule: BuiltRule; candidate: Candidate }>

/** One table, ready to run, and never changed. A request asks one from beginning to end. */
export type Table = Readonly<{
  version: string
  /** `performance.now()` of its coming into force. */
  since: number
  /** What it was made from, for the admin port. */
  source: Active
  find(request: Matchable): Found | undefined
  methods(request: Matchable): readonly string[]
}>

export type Runtime = Readonly<{
  /** Undefined before the first. */
  table(): Table | undefined
  /** Puts a table in force, whole. A route it refuses stays as it last was; the others are not touched by that. */
  activate(next: Active): readonly Refusal[]
  series: SeriesSet
  close(): Promise<void>
}>

type Built = Readonly<{
  route: Route
  candidates: readonly Candidate[]
  rules: readonly BuiltRule[]
  /** Two routes of one shape are found by the same requests. */
  shape: string
}>

/** The outcome of building an item, remembered so that one that did not change is not built again. */
type Outcome = Readonly<{ item: Route; built: Built | undefined; refused: string | undefined }>

export type RuntimeDeps = Readonly<{ upstreams?: Upstreams; now?: () => number }>

export function createRuntime({ upstreams = new Upstreams(), now = () => performance.now() }: RuntimeDeps = {}): Runtime {
  const patterns = createPatterns()
  const series = new SeriesSet()
  const groups = new Groups(upstreams)
  /** By route and rule; what of them must outlive a table. */
  const states = new Map<string, RuleState>()
  let outcomes = new Map<string, Outcome>()
  let table: Table | undefined
  let shapes: readonly string[] = []
  let index: Index = createIndex([])

  function build(item: Route, last: Outcome | undefined): Outcome {
    const built = buildRoute(item, patterns, groups, states, series)
    if (typeof built !== 'string') return { item, built, refused: undefined }
    return { item, built: last?.built, refused: built }
  }

  return {
    series,
    table: () => table,
    activate(next) {
      groups.begin(next.endpoints)
      const nextOutcomes = new Map<string, Outcome>()
      for (const [id, item] of next.routes) {
        const last = outcomes.get(id)
        nextOutcomes.set(id, last?.item === item ? last : build(item, last))
      }
      const built = [...nextOutcomes.values()].map((outcome) => outcome.built).filter((route) => route !== undefined)
      // Most edits move a weight. Then every request finds the same rule as before, and the index stays.
      const nextShapes = built.map((route) => route.shape)
      if (!sameTexts(nextShapes, shapes)) {
        index = indexOf(built)
        shapes = nextShapes
      }
      outcomes = nextOutcomes
      table = createTable(next, index, built, now())
      forget(built)
      return [...outcomes.values()].flatMap(({ item, refused }) => refused === undefined ? [] : [{ id: item.id, message: refused }])
    },
    async close() {
      await upstreams.destroy()
    },
  }

  /** Lets go of what no rule of the table in force uses. */
  function forget(built: readonly Built[]): void {
    const live = new Set<string>()
    for (const { route } of built) {
      for (const rule of route.rules) {
        live.add(`${route.id}\n${rule.name}`)
        for (const variant of rule.variants) live.add(`${route.id}\n${rule.name}\n${variant.name}`)
      }
    }
    for (const key of states.keys()) if (!live.has(key)) states.delete(key)
    series.retain(({ route, rule, variant }) =>
      route === '' || live.has(variant === '' ? `${route}\n${rule}` : `${route}\n${rule}\n${variant}`))
    groups.retain(built.flatMap(({ rules }) => rules.flatMap(({ variants }) => variants.map(({ target }) => target))))
  }
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i])
}

function createTable(source: Active, index: Index, built: readonly Built[], since: number): Table {
  const rules = built.flatMap((route) => route.rules)
  return {
    version: source.version,
    since,
    source,
    find(request) {
      const found = findMatch(index, request)
      const rule = found && rules[found.slot]
      return rule && { rule, candidate: found.candidate }
    },
    methods: (request) => methodsServed(index, request),
  }
}

function indexOf(built: readonly Built[]): Index {
  let slot = 0
  return createIndex(built.map(({ route, candidates, rules }) => {
    const first = slot
    slot += rules.length
    return {
      hostnames: route.hostnames,
      entries: candidates.map((candidate) => ({ candidate, slot: first + candidate.rule })),
    }
  }))
}

function buildRoute(
  route: Route,
  patterns: Patterns,
  groups: Groups,
  states: Map<string, RuleState>,
  series: SeriesSet,
): Built | string {
  const candidates = compileMatches(route, patterns)
  if (typeof candidates === 'string') return candidates
  for (const rule of route.rules) {
    const wrong = cannotServe(rule.variants)
    if (wrong !== undefined) return `rule ${rule.name}: ${wrong}`
  }
  const rules = route.rules.map((rule) => {
    const key = `${route.id}\n${rule.name}`
    const state = states.get(key) ?? { split: new Map(), turns: new Map() }
    states.set(key, state)
    return buildRule(route, rule, { state, series, target: (variant) => groups.target(route.tenant, variant.target) })
  })
  const shape = JSON.stringify([route.id, route.created, route.hostnames, route.rules.map((rule) => rule.matches)])
  return { route, candidates, rules, shape }
}

/** What the table can say and this proxy cannot do: refused, so that it shows, and not served in some other way. */
function cannotServe(variants: readonly Variant[]): string | undefined {
  for (const { name, priority, target, model } of variants) {
    if (priority > 0) return `variant ${name}: a fallback priority is not supported by this proxy`
    if (target.kind === 'url') {
      const origin = originOf(target.url)
      if (typeof origin !== 'string') return `variant ${name}: ${origin.wrong}`
    }
    for (const text of [model?.name, model?.version]) {
      if (text === '.' || text === '..') return `variant ${name}: ${text} cannot be the name or version of a model in a path`
    }
  }
  return undefined
}

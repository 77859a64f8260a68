import type {
  CacheLine, CallerLine, ConsoleState, Ending, Flow, LimitLine, Look, RolloutLine, RuleFlow, UpstreamLine, VariantFlow,
} from '../table/console.ts'
import { Best } from './best.ts'
import { addFlows } from './flow.ts'
import { orders } from './order.ts'

/** How many of a short list are told. */
export const ENDINGS_MAX = 10
export const CALLERS_MAX = 20

/**
 * What several processes or proxies tell, as if they were one. Each was asked for everything up to the last item that
 * is looked at (`whole`), since what is first for one of them need not be for all; where they are of very different
 * minds about that, a list by rates may lack one that is small in each of them.
 */
export function mergeStates(states: readonly [ConsoleState, ...ConsoleState[]], look: Look): ConsoleState {
  return merged(states, look, false)
}

/** The same of some of them, to be merged with others: nothing is left out that these may add to, and all is from the first on. */
export function mergePart(states: readonly [ConsoleState, ...ConsoleState[]], look: Look): ConsoleState {
  return merged(states, whole(look), true)
}

function merged([first, ...others]: readonly [ConsoleState, ...ConsoleState[]], look: Look, part: boolean): ConsoleState {
  const { bounds } = first
  // Buckets of another release cannot be added.
  const all = [first, ...others.filter((other) => other.bounds.length === bounds.length)]
  const flows = (of: (state: ConsoleState) => Flow) => addFlows(all.map(of), bounds)
  const merge = <Item>(
    of: (state: ConsoleState) => Readonly<{ total: number; items: readonly Item[] }> | undefined, key: (item: Item) => string,
    join: (items: readonly [Item, ...Item[]]) => Item, order: (item: Item) => Readonly<{ score: number; name: string }>,
    page: Pick<Look, 'offset' | 'limit'> = part ? { offset: 0, limit: Infinity } : look,
  ) => {
    const lists = all.flatMap((state) => of(state) ?? [])
    if (lists.length === 0) return undefined
    const best = new Best<Item>(page)
    for (const items of grouped(lists.flatMap(({ items }) => items), key)) {
      const joined = part && items.length === 1 ? items[0] : join(items)
      const { score, name } = order(joined)
      best.add(joined, score, name)
    }
    return { total: Math.max(best.total, ...lists.map(({ total }) => total)), offset: look.offset, items: best.page(page) }
  }
  const by = orders(look.sort)

  const traffic = merge((state) => state.traffic, (one) => `${one.route}\n${one.rule}`, (items) => joinRules(items, bounds), by.traffic)
  const rollouts = merge((state) => state.rollouts, (one) => `${one.route}\n${one.rule}`, joinRollouts, by.rollouts)
  const limits = merge((state) => state.limits?.list, (one) => `${one.policy}/${one.limit}`, joinLimits, by.limits)
  const caches = merge((state) => state.caches, (one) => `${one.route}\n${one.rule}`, joinCaches, by.caches)
  const routes = merge((state) => state.routes, (one) => one.route, ([item]) => item, by.routes)
  // Nothing is ever added to one of these, and of hundreds of proxies they are thousands.
  const upstreams = merge((state) => state.endpoints?.list, keyOfUpstream, ([item]) => item, by.endpoints, look)
  return {
    ...first,
    server: { ...first.server, processes: sumOf(all, ({ server }) => server.processes) },
    window: all.reduce<number | null>((longest, { window }) => window === null ? longest : Math.max(longest ?? 0, window), null),
    total: flows(({ total }) => total),
    endings: joinEndings(all.flatMap(({ endings }) => endings), part ? Infinity : ENDINGS_MAX),
    ...(traffic && { traffic }),
    ...(rollouts && { rollouts }),
    ...(limits && { limits: { list: limits, callers: joinCallers(all.flatMap((state) => state.limits?.callers ?? []), part ? Infinity : CALLERS_MAX) } }),
    ...(upstreams && {
      endpoints: {
        open: sumOf(all, ({ endpoints }) => endpoints?.open ?? 0),
        states: [...grouped(all.flatMap(({ endpoints }) => endpoints?.states ?? []), ({ state }) => state)]
          .map((items) => ({ state: items[0].state, count: sumOf(items, ({ count }) => count) })),
        // Each process has endpoints of its own eyes: what one lists is none of another's.
        list: { ...upstreams, total: sumOf(all, ({ endpoints }) => endpoints?.list.total ?? 0) },
      },
    }),
    ...(caches && { caches }),
    ...(routes && { routes }),
  }
}

/** What is asked of each of several for what is looked at. */
export const whole = (look: Look): Look => ({ ...look, offset: 0, limit: look.offset + look.limit })

const keyOfUpstream = (one: UpstreamLine) => [one.process, one.route, one.rule, one.variant, one.modelVersion].join('\n')

function joinRules(items: readonly [RuleFlow, ...RuleFlow[]], bounds: readonly number[]): RuleFlow {
  const variants = [...grouped(items.flatMap((item) => item.variants), (one) => `${one.variant}\n${one.modelVersion}`)]
    .map((same): VariantFlow => ({ ...same[0], flow: addFlows(same.map(({ flow }) => flow), bounds) }))
  return { ...items[0], flow: addFlows(items.map(({ flow }) => flow), bounds), variants: withShares(variants) }
}

/** What each of the variants of a rule got of the requests to those of its priority. */
export function withShares(variants: readonly VariantFlow[]): VariantFlow[] {
  const sums = new Map<number, number>()
  for (const { priority, weight, flow } of variants) {
    if (weight !== null) sums.set(priority, (sums.get(priority) ?? 0) + (flow.perSecond?.requests ?? 0))
  }
  return variants.map((one) => {
    const sum = sums.get(one.priority) ?? 0
    return { ...one, share: one.weight === null || sum === 0 ? null : (one.flow.perSecond?.requests ?? 0) / sum }
  })
}

function joinRollouts(items: readonly [RolloutLine, ...RolloutLine[]]): RolloutLine {
  return {
    ...items[0],
    variants: [...grouped(items.flatMap(({ variants }) => variants), ({ variant }) => variant)].map((same) => ({
      ...same[0],
      ...(same[0].requests !== undefined && {
        requests: sumOf(same, ({ requests = 0 }) => requests), failed: sumOf(same, ({ failed = 0 }) => failed),
        // Of times only the worst is known.
        p95: same.reduce<number | null>((worst, { p95 = null }) => p95 === null ? worst : Math.max(worst ?? 0, p95), null),
      }),
    })),
  }
}

function joinLimits(items: readonly [LimitLine, ...LimitLine[]]): LimitLine {
  const terms = items.find((item) => item.terms !== '')?.terms ?? ''
  return { ...items[0], terms, decisions: joinCounted(items.flatMap(({ decisions }) => decisions), ({ decision }) => decision) }
}

function joinCaches(items: readonly [CacheLine, ...CacheLine[]]): CacheLine {
  const results = joinCounted(items.flatMap((item) => item.results), ({ result }) => result)
  return {
    ...items[0],
    bytes: sumOf(items, ({ bytes }) => bytes), maxBytes: sumOf(items, ({ maxBytes }) => maxBytes),
    entries: sumOf(items, ({ entries }) => entries), evicted: sumOf(items, ({ evicted }) => evicted),
    results, hitRate: hitRateOf(results), distrusted: items.some(({ distrusted }) => distrusted),
  }
}

/** Of those that a cache was asked for lately, what it answered. */
export function hitRateOf(results: CacheLine['results']): number | null {
  const of = (...names: readonly string[]) =>
    results.reduce((sum, { result, perSecond }) => names.includes(result) ? sum + (perSecond ?? 0) : sum, 0)
  const asked = of('hit', 'semantic-hit', 'miss', 'stale')
  return asked === 0 ? null : of('hit', 'semantic-hit') / asked
}

function joinCallers(all: readonly CallerLine[], limit: number): CallerLine[] {
  const callers = [...grouped(all, ({ tenant, consumer, address }) => JSON.stringify([tenant, consumer, address]))].map((same): CallerLine => ({
    // The counts of limits are the same wherever they are asked for.
    ...same[0],
    requests: sumOf(same, ({ requests }) => requests), rejected: sumOf(same, ({ rejected }) => rejected),
    perSecond: same.every(({ perSecond }) => perSecond === null) ? null
      : { requests: sumOf(same, ({ perSecond }) => perSecond?.requests ?? 0), rejected: sumOf(same, ({ perSecond }) => perSecond?.rejected ?? 0) },
    inputTokens: sumOf(same, ({ inputTokens }) => inputTokens), outputTokens: sumOf(same, ({ outputTokens }) => outputTokens),
  }))
  const best = new Best<CallerLine>({ offset: 0, limit })
  for (const one of callers) best.add(one, callerScore(one), one.consumer ?? one.address ?? '')
  return best.page({ offset: 0 })
}

/** Who is turned away the most comes first, then who calls the most; those of now before those of the past. */
export function callerScore({ perSecond, requests, rejected }: Pick<CallerLine, 'perSecond' | 'requests' | 'rejected'>): number {
  return (perSecond?.rejected ?? 0) * 1e9 + (perSecond?.requests ?? 0) * 1e6 + Math.min(rejected + requests / 1e6, 1e6)
}

function joinEndings(all: readonly Ending[], limit: number): Ending[] {
  const best = new Best<Ending>({ offset: 0, limit })
  for (const one of joinCounted(all, ({ status, code }) => `${status} ${code}`)) best.add(one, one.count, one.code)
  return best.page({ offset: 0 })
}

function joinCounted<Item extends Readonly<{ count: number; perSecond: number | null }>>(all: readonly Item[], key: (item: Item) => string): Item[] {
  return [...grouped(all, key)].map((same) => ({
    ...same[0],
    count: sumOf(same, ({ count }) => count),
    perSecond: same.every(({ perSecond }) => perSecond === null) ? null : sumOf(same, ({ perSecond }) => perSecond ?? 0),
  }))
}

function sumOf<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0)
}

/** Those with the same key together. */
function grouped<Item>(items: readonly Item[], key: (item: Item) => string): Iterable<[Item, ...Item[]]> {
  const groups = new Map<string, [Item, ...Item[]]>()
  for (const item of items) {
    const at = key(item)
    const group = groups.get(at)
    if (group === undefined) groups.set(at, [item])
    else group.push(item)
  }
  return groups.values()
}

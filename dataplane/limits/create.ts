import type { Decision, Limiter, Take, Verdict } from './limiter.ts'
import { createProcessStore, type ProcessStore, type ProcessStoreOptions } from './process.ts'
import { Queues } from './queue.ts'
import type { Store, StoreOptions } from './redis/store.ts'
import type { RedisUrl } from './redis/url.ts'

export type SharedOptions = Readonly<{
  redis: RedisUrl
  /** Proxies of one fleet divide limits among them while Redis is away. */
  fleet: string
  say: StoreOptions['say']
}>

/** How long a proxy that starts waits for Redis before it goes on without, at least. Milliseconds. */
const START = 2000
/** How often failures of connections are logged at most. */
const TOLD = 10_000

/** Every count is this process's own. */
export function createLimiter(options?: ProcessStoreOptions): Limiter {
  return limiterOf(createProcessStore(options), undefined)
}

/** Proxies share their counts in Redis, but for limits of scope Local. */
export async function connectLimiter({ redis, fleet, say }: SharedOptions): Promise<Limiter> {
  const [{ connectRedis }, { createStore }] = await Promise.all([import('../redis.ts'), import('./redis/store.ts')])
  let told = Number.NEGATIVE_INFINITY
  const connect = () => connectRedis(redis, (error) => {
    if (performance.now() - told < TOLD) return
    told = performance.now()
    say('warn', 'connecting to Redis failed', { error: error.message })
  })
  const store = createStore({ connect, patience: redis.patience, fleet, say })
  if (!await store.ready(Math.max(START, redis.patience))) say('warn', 'Redis does not answer; limits decide by onStoreFailure until it does')
  return limiterOf(createProcessStore(), store)
}

function limiterOf(own: ProcessStore, store: Store | undefined): Limiter {
  return limiterOver({
    take(tenant, takes) {
      if (store === undefined) return own.take(takes)
      const global = takes.filter(({ scope }) => scope === 'Global')
      if (global.length === takes.length) return store.take(tenant, takes)
      return global.length === 0 ? own.take(takes) : mixed(own, store, tenant, takes, global)
    },
    settle: ({ held }, units) => held?.settle(units),
  }, store)
}

/** Lets requests wait, wherever it is counted. */
export function limiterOver({ take, settle }: Pick<Limiter, 'take' | 'settle'>, store?: Pick<Limiter, 'close'>): Limiter {
  const counts: Pick<Limiter, 'take' | 'settle'> = {
    take,
    settle(decision, units) {
      settle(decision, units)
      if (decision.held !== undefined && queues.size > 0) queues.poke(decision.held.keys)
    },
  }
  const queues = new Queues(counts)
  return {
    ...counts,
    wait: (wish) => queues.take(wish),
    async close() {
      queues.close()
      await store?.close()
    },
  }
}

const unasked: Verdict = { allows: true, remaining: Number.NaN, resetAfter: 0, retryAfter: 0 }

/** Those of this process are charged first, and get it back where the shared ones refuse. */
async function mixed(own: ProcessStore, store: Store, tenant: string, takes: readonly Take[], global: readonly Take[]): Promise<Decision> {
  const local = takes.filter(({ scope }) => scope === 'Local')
  const mine = own.take(local.map((take) => ({ ...take, hold: take.hold || take.units > 0 })))
  const theirs = mine.allowed ? await store.take(tenant, global) : undefined
  const [here, there] = [mine.verdicts.values(), theirs?.verdicts.values()]
  const verdicts = takes.map(({ scope }) => (scope === 'Local' ? here.next().value : there?.next().value) ?? unasked)
  const allowed = theirs?.allowed === true
  if (!allowed) mine.held?.settle(undefined)
  const held = allowed && takes.some(({ hold }) => hold) ? {
    keys: takes.map(({ key }) => key),
    settle(units: readonly number[] | undefined) {
      const of = (scope: Take['scope']) => takes.flatMap((take, i) => (take.scope === scope ? [take.hold ? units?.[i] ?? 0 : take.units] : []))
      mine.held?.settle(of('Local'))
      theirs.held?.settle(of('Global'))
    },
  } : undefined
  return { allowed, unavailable: theirs?.unavailable === true, by: theirs?.by ?? mine.by, verdicts, held }
}

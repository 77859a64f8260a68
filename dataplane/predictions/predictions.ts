import { setImmediate as turn } from 'node:timers/promises'
import type { Predictions as Spec } from '../../table/predictions.ts'
import type { Route, Rule } from '../../table/route.ts'
import { placesOf, spread } from '../json/pointer.ts'
import { Allowance } from '../mirror/allowance.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { shown, type Terms } from './body.ts'
import { Drift } from './drift/drift.ts'
import { Room } from './room.ts'
import type { PredictionSink } from './sink.ts'
import { PredictionTally } from './tally.ts'
import { answerEvent, originOf, requestEvent, type Origin } from './told.ts'
import { watchExchange, type Seen } from './watch.ts'

/** What predictions may take of a process; beyond it they are dropped, and counted. */
export type PredictionLimits = Readonly<{
  /** Bytes of bodies, on their way and waiting. */
  held: number
  /** Bytes that are read of one body. */
  body: number
  /** Requests that wait to be written down. */
  waiting: number
  /** Milliseconds a second that statistics are made in. */
  thinking: number
}>

const predictionLimits: PredictionLimits = { held: 32 * 1_048_576, body: 262_144, waiting: 1024, thinking: 50 }

export type PredictionsOptions = Readonly<{
  /** Undefined: nothing is written down, and only statistics are made. */
  sink?: PredictionSink | undefined
  limits?: Partial<PredictionLimits>
  /** The process has more to do than statistics. */
  busy?: () => boolean
}>

/** Milliseconds of a turn of the event loop: requests that come meanwhile wait for no more, but for one that is large. */
const stretch = 1

/** The log of one rule, as its table says. */
export type RuleLog = Readonly<{ percent: number; watch(exchange: Exchange): void }>

type Job = Readonly<{ seen: Seen; origin: Origin; terms: Terms; order: number; tally: PredictionTally }>

/**
 * Writes a sample of requests down with what they were answered. All that costs time is done after the answer is out, in
 * stretches between which others have their turn. It outlives the tables.
 */
export class Predictions {
  readonly drift = new Drift()
  readonly #limits: PredictionLimits
  readonly #room: Room
  readonly #sink: PredictionSink | undefined
  readonly #busy: () => boolean
  readonly #thinking: Allowance
  readonly #tallies = new Map<string, Map<string, PredictionTally>>()
  readonly #jobs: Job[] = []
  #working: Promise<void> | undefined

  constructor({ sink, limits, busy = () => false }: PredictionsOptions = {}) {
    this.#limits = { ...predictionLimits, ...limits }
    this.#room = new Room(this.#limits.held)
    this.#sink = sink
    this.#busy = busy
    this.#thinking = new Allowance(this.#limits.thinking, this.#limits.thinking)
  }

  of(route: Route, rule: Rule, spec: Spec): RuleLog {
    const tally = this.#tallyOf(route.id, rule.name)
    const terms = { bodies: spec.bodies, places: spread(placesOf(spec.redact.map((pointer) => [pointer, true] as const))) }
    const origin = originOf(route.id, rule.name, spec)
    const orders = new Map(rule.variants.map(({ name }, at) => [name, at]))
    return {
      percent: spec.percent,
      watch: (exchange) => {
        if (this.#jobs.length >= this.#limits.waiting) tally.count('dropped')
        else watchExchange(exchange, this.#room, this.#limits.body, (seen) => this.#take({ seen, origin, terms, tally, order: orders.get(seen.variant) ?? orders.size }))
      },
    }
  }

  #tallyOf(route: string, rule: string): PredictionTally {
    let ofRoute = this.#tallies.get(route)
    if (ofRoute === undefined) this.#tallies.set(route, ofRoute = new Map())
    let tally = ofRoute.get(rule)
    if (tally === undefined) ofRoute.set(rule, tally = new PredictionTally(route, rule))
    return tally
  }

  #take(job: Job): void {
    if (job.seen.lost || this.#jobs.length >= this.#limits.waiting) {
      job.tally.count('dropped')
      job.seen.release()
      return
    }
    this.#jobs.push(job)
    this.#working ??= this.#work()
  }

  async #work(): Promise<void> {
    while (this.#jobs.length > 0) {
      await turn()
      const until = performance.now() + stretch
      for (let job = this.#jobs.shift(); job !== undefined; job = performance.now() < until ? this.#jobs.shift() : undefined) {
        const { seen, tally } = job
        // Whatever is wrong with one must not end the others, let alone the process.
        await this.#log(job).catch(() => tally.count('dropped'))
        seen.release()
      }
    }
    this.#working = undefined
  }

  async #log({ seen, origin, terms, order, tally }: Job): Promise<void> {
    const { body: max } = this.#limits
    const asked = await shown(seen.asked, terms, max)
    const answered = seen.answered && await shown(seen.answered, terms, max)
    for (const { withheld } of answered === undefined ? [asked] : [asked, answered]) if (withheld !== undefined) tally.withhold(withheld)
    if (this.#sink === undefined) tally.count('unlogged')
    else {
      const held = this.#sink.put(requestEvent(seen, origin, asked)) && (answered === undefined || this.#sink.put(answerEvent(seen, origin, answered)))
      tally.count(held ? 'logged' : 'dropped')
    }
    if (answered === undefined || this.#busy() || this.#thinking.left <= 0) return
    const begun = performance.now()
    this.drift.take(seen, order, { inputs: asked, outputs: answered, spells: terms.bodies !== 'None' })
    this.#thinking.owe(performance.now() - begun)
  }

  /** Forgets what of a route is logged no more; all of it, where the route is gone. */
  prune(id: string, route: Route | undefined): void {
    const live = new Map(route?.rules.flatMap((rule) => (rule.predictions === undefined ? [] : [[rule.name, rule] as const])))
    this.drift.prune(id, live)
    const ofRoute = this.#tallies.get(id)
    for (const name of ofRoute?.keys() ?? []) if (!live.has(name)) ofRoute?.delete(name)
    if (ofRoute?.size === 0) this.#tallies.delete(id)
  }

  * values(): Generator<PredictionTally> {
    for (const ofRoute of this.#tallies.values()) yield* ofRoute.values()
  }

  /** Bytes of bodies that are held. */
  get held(): number {
    return this.#room.held
  }

  get sink(): PredictionSink | undefined {
    return this.#sink
  }

  async close(): Promise<void> {
    await this.#working
    await this.#sink?.close()
  }
}

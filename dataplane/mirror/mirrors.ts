import type { Route } from '../../table/route.ts'
import { Allowance } from './allowance.ts'
import { MirrorTally, type MirrorReport } from './tally.ts'

/** What copies may take of a process; beyond it they are left out, and counted. */
export type MirrorLimits = Readonly<{
  /** Copies of one rule at once. */
  inFlight: number
  /** Bytes of bodies and answers that the copies of all rules hold. */
  held: number
  /** Milliseconds that a caller's answer may go on after that of its copy, and be compared still. */
  callerPatience: number
  /** Milliseconds that a rule copies nothing after a copy that brought no answer, and after one whose answer was cut off. */
  afterFailure: number
  afterCut: number
  /** Bytes of one body. */
  body: number
  /** Bytes a second, of bodies and answers together. */
  moved: number
  /** Milliseconds a second that answers are compared for. */
  comparing: number
}>

const mirrorLimits: MirrorLimits = {
  inFlight: 64, held: 64 * 1_048_576, body: 4 * 1_048_576, moved: 32 * 1_048_576, comparing: 100, callerPatience: 300_000, afterFailure: 50, afterCut: 10_000,
}

export type MirrorsOptions = Readonly<{
  limits?: Partial<MirrorLimits>
  /** The process has more to do than copies: none is begun, and nothing compared. */
  busy?: () => boolean
}>

/** The mirrors of all rules: what they counted, and what they may hold together. It outlives the tables. */
export class Mirrors {
  readonly limits: MirrorLimits
  readonly busy: () => boolean
  /** Of bytes moved. */
  readonly moving: Allowance
  /** Of time spent on comparisons. */
  readonly comparing: Allowance
  readonly #tallies = new Map<string, Map<string, MirrorTally>>()
  #held = 0

  constructor({ limits, busy = () => false }: MirrorsOptions = {}) {
    this.limits = { ...mirrorLimits, ...limits }
    this.busy = busy
    this.moving = new Allowance(this.limits.moved, this.limits.body)
    this.comparing = new Allowance(this.limits.comparing, this.limits.comparing)
  }

  get held(): number {
    return this.#held
  }

  /** False: they hold as much as they may. */
  hold(bytes: number): boolean {
    if (this.#held + bytes > this.limits.held) return false
    this.#held += bytes
    return true
  }

  release(bytes: number): void {
    this.#held -= bytes
  }

  of(route: string, rule: string, variant: string, modelVersion: string): MirrorTally {
    let ofRoute = this.#tallies.get(route)
    if (ofRoute === undefined) {
      ofRoute = new Map()
      this.#tallies.set(route, ofRoute)
    }
    const key = keyOf(rule, variant, modelVersion)
    let tally = ofRoute.get(key)
    if (tally === undefined) {
      tally = new MirrorTally(route, rule, variant, modelVersion)
      ofRoute.set(key, tally)
    }
    return tally
  }

  /** Forgets what of a route is mirrored no more; all of it, where the route is gone. */
  prune(id: string, route: Route | undefined): void {
    const ofRoute = this.#tallies.get(id)
    if (ofRoute === undefined) return
    const live = new Set(route?.rules.flatMap(({ name, mirror, variants }) =>
      variants.flatMap((variant) => (variant.name === mirror?.variant ? [keyOf(name, variant.name, variant.model?.version ?? '')] : []))))
    for (const key of ofRoute.keys()) if (!live.has(key)) ofRoute.delete(key)
    if (ofRoute.size === 0) this.#tallies.delete(id)
  }

  * values(): Generator<MirrorTally> {
    for (const ofRoute of this.#tallies.values()) yield* ofRoute.values()
  }

  report(): readonly MirrorReport[] {
    return [...this.values()].map((tally) => tally.report())
  }
}

const keyOf = (rule: string, variant: string, modelVersion: string) => `${rule}\n${variant}\n${modelVersion}`

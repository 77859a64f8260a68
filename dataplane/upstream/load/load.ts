/** What an endpoint says of itself; what it does not say is undefined. */
export type Report = Readonly<{
  /** Requests in its queue. */
  waiting?: number | undefined
  /** Requests it is working on. */
  running?: number | undefined
  /** The part of its cache for keys and values, or of what else it may run out of, that is used: 0 to 1. */
  used?: number | undefined
}>

/** A report is taken at its word for so long, and fades until it counts for nothing. Milliseconds, where one is asked for every second. */
const fresh = 2000
const gone = 8000

/** The load of one endpoint as it last told, less what we gave it ourselves: that we know better, and as of now. */
export class Load {
  waiting = 0
  used = 0
  /** Requests of others that it had then: of other proxies, other processes, other tenants. */
  others = 0
  #running = 0
  /** `performance.now()` of the last report. */
  at = Number.NEGATIVE_INFINITY
  #pace = 1

  /**
   * @param inFlight what it had of ours when it wrote that
   * @param pace how many seconds there are between two reports
   */
  report({ waiting, running, used }: Report, inFlight: number, now: number, pace = 1): void {
    // What an older report said is as good as nothing, once that is old.
    if (this.trust(now) === 0) this.waiting = this.used = this.#running = 0
    if (waiting !== undefined) this.waiting = Math.max(0, waiting)
    if (running !== undefined) this.#running = Math.max(0, running)
    if (used !== undefined) this.used = Math.min(1, Math.max(0, used))
    this.others = Math.max(0, this.waiting + this.#running - inFlight)
    this.at = now
    this.#pace = Math.max(1, pace)
  }

  /** How much of it may be believed, by its age alone: 0 to 1. */
  trust(now: number): number {
    const age = (now - this.at) / this.#pace
    return age >= gone ? 0 : Math.min(1, (gone - age) / (gone - fresh))
  }
}

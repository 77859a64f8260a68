export type CircuitDeps = Readonly<{
  /** How long a question is waited for. Milliseconds. */
  patience: number
  /** Asks whether the store is there, over a connection of its own making where the last got nowhere. Rejects: it is not. */
  probe: () => Promise<void>
  changed: (open: boolean, why: string) => void
}>

/** How often a store that was given up is asked, and how often in a row it must answer in time. */
const apart = 100
const fewest = 2
const most = 32
/** A store that fails again within this time is believed less each time. Milliseconds. */
const wary = 60_000

/**
 * Asks a store as long as it answers in time. Once it does not, nobody asks until it has shown for a while that it
 * does: so one that is down or slow costs those who ask at that moment the patience, and nobody else anything.
 */
export class Circuit {
  readonly #deps: CircuitDeps
  readonly #waiting = new Set<() => void>()
  /** Nothing is asked of it before it has answered for the first time. */
  #open = true
  #closed = false
  #needed = 1
  #good = 0
  #closedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(deps: CircuitDeps) {
    this.#deps = deps
    this.#look()
  }

  get open(): boolean {
    return this.#open
  }

  /** The answer; undefined where there is none in time. Never rejects. */
  ask<Answer>(question: () => Promise<Answer>): Promise<Answer | undefined> | undefined {
    if (this.#open) return undefined
    return new Promise((resolve) => {
      const end = (answer: Answer | undefined): void => {
        clearTimeout(timer)
        this.#waiting.delete(giveUp)
        resolve(answer)
      }
      const giveUp = () => end(undefined)
      // What lies in the socket already, while this process was busy, is read between the timers and this.
      const timer = setTimeout(() => setImmediate(() => {
        if (this.#waiting.has(giveUp)) this.fail('it does not answer in time')
      }), this.#deps.patience)
      this.#waiting.add(giveUp)
      question().then(end, (error: unknown) => this.fail(error instanceof Error ? error.message : String(error)))
    })
  }

  /** Nobody asks it any more, and those who wait go on without. */
  fail(why: string): void {
    if (this.#open || this.#closed) return
    this.#open = true
    for (const giveUp of this.#waiting) giveUp()
    this.#good = 0
    this.#needed = performance.now() - this.#closedAt > wary ? fewest : Math.min(most, this.#needed * 2)
    this.#deps.changed(true, why)
    this.#soon()
  }

  close(): void {
    this.#closed = true
    this.#open = true
    for (const giveUp of this.#waiting) giveUp()
    clearTimeout(this.#timer)
  }

  #soon(): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => this.#look(), apart)
    this.#timer.unref()
  }

  #look(): void {
    const since = performance.now()
    this.#deps.probe().then(() => performance.now() - since <= this.#deps.patience, () => false).then((good) => {
      if (this.#closed) return
      this.#good = good ? this.#good + 1 : 0
      if (this.#good < this.#needed) {
        this.#soon()
        return
      }
      this.#open = false
      this.#closedAt = performance.now()
      this.#deps.changed(false, '')
    }, () => {})
  }
}

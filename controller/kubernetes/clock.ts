/** Time as a dependency, so that a test can turn hours of backoff and leases into milliseconds. */
export type Clock = Readonly<{
  /** Monotonic milliseconds: never jumps when the wall clock is set. */
  now(): number
  /** The wall clock, for what people read. */
  date(): Date
  /** Runs once after `ms`; the answer cancels it. */
  after(ms: number, run: () => void): () => void
}>

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}

/**
 * Milliseconds by which a clock may be off before it is not believed: answers tell whole seconds, and one may be read long
 * after it was sent, by a process that slept.
 */
const TOLERANCE = 60_000

/**
 * The API server's time, as its answers tell it, wherever the clock of this machine is set to: what one replica writes down,
 * such as when a step began, another goes on from. `told` hears by how many milliseconds its own clock is off.
 */
export function sharedClock(base: Clock, told: (off: number) => void): Clock & Readonly<{ hear(server: Date): void }> {
  let off = 0
  return {
    now: () => base.now(),
    after: (ms, run) => base.after(ms, run),
    date: () => new Date(base.date().getTime() + off),
    hear(server) {
      const next = server.getTime() - base.date().getTime()
      if (Number.isNaN(next) || Math.abs(next - off) < TOLERANCE) return
      off = Math.abs(next) < TOLERANCE ? 0 : next
      told(off)
    },
  }
}

/** Resolves after `ms`, or at once when the signal aborts. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve()
    const wake = () => {
      cancel()
      signal.removeEventListener('abort', wake)
      resolve()
    }
    const cancel = clock.after(ms, wake)
    signal.addEventListener('abort', wake)
  })
}

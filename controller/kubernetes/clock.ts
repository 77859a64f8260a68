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

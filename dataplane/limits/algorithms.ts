import type { TakenLog } from './log.ts'
import type { Take, Verdict } from './limiter.ts'
import { endOf, lengthAt, MONTH, startBefore, startOf, type Window } from './windows.ts'

/**
 * The state of a count is three numbers: when its window began (TokenBucket: when it was looked at last), what is used,
 * and what was used in the window before (SlidingWindow). SlidingLog has its log instead. `redis/script.ts` says the
 * same in Lua; a test holds the two together.
 */
export const WIDTH = 3

export type State = Readonly<{ cells: Float64Array; at: number; log: TakenLog | undefined }>

/** What is guessed for Concurrency, of which nobody knows when a request ends. Milliseconds. */
const CONCURRENCY_RETRY = 1000

/** Window of a SlidingLog and time in which a TokenBucket earns its amount; ms. They know no calendar: a month is a twelfth of a year. */
const spanOf = (window: Window) => (window === 'month' ? MONTH : window)

/** Brings a state to the present. Charges nothing; a clock set back changes nothing. */
export function advance({ cells, at, log }: State, { algorithm, amount }: Take, now: number): void {
  switch (algorithm.type) {
    case 'FixedWindow': {
      const start = startOf(algorithm.window, now)
      // A window made longer by an edit begins before the one that was counted in, and goes on with it.
      if ((cells[at] ?? 0) >= start) return
      cells[at] = start
      cells[at + 1] = 0
      return
    }
    case 'SlidingWindow': {
      const start = startOf(algorithm.window, now)
      const last = cells[at] ?? 0
      if (last >= start) return
      cells[at + 2] = last >= startBefore(algorithm.window, start) ? cells[at + 1] ?? 0 : 0
      cells[at + 1] = 0
      cells[at] = start
      return
    }
    case 'TokenBucket': {
      const last = cells[at] ?? 0
      if (last >= now) return
      const earned = ((now - last) * amount) / spanOf(algorithm.window)
      cells[at + 1] = Math.max(0, (cells[at + 1] ?? 0) - earned)
      cells[at] = now
      return
    }
    case 'SlidingLog':
      log?.forget(now - spanOf(algorithm.window))
  }
}

const capacityOf = ({ algorithm, amount }: Take) => algorithm.type === 'TokenBucket' ? amount + algorithm.burst : amount

/** What is left of an advanced state; below 0 where more was settled than reserved, or the amount was lowered. */
function freeOf({ cells, at, log }: State, take: Take, now: number): number {
  const capacity = capacityOf(take)
  if (take.algorithm.type === 'SlidingLog') return capacity - (log?.sum ?? 0)
  const used = cells[at + 1] ?? 0
  return take.algorithm.type === 'SlidingWindow' ? capacity - used - faded(cells, at, take.algorithm.window, now) : capacity - used
}

/** What a reservation of nothing asks for: that something is left, however little. */
const LEAST = 1e-6
/** What fractions may add up to beyond a limit by the rounding of numbers. */
const ROUNDING = 1e-9

const neededBy = ({ units, hold }: Take) => (units === 0 && hold ? LEAST : units)

/** Whether what is left is enough. */
export const enough = (take: Take, free: number) => neededBy(take) <= free + ROUNDING

/** Whether so much is left in an advanced state. */
export const fits = (state: State, take: Take, now: number) => enough(take, freeOf(state, take, now))

/** Until as much is there as a request asks for, by what is left: exactly where that tells it, else by when there is all again. */
export function retryFor(take: Take, free: number, resetAfter: number): number {
  const { algorithm, amount } = take
  const units = neededBy(take)
  if (units > capacityOf(take)) return Number.POSITIVE_INFINITY
  if (algorithm.type === 'Concurrency') return CONCURRENCY_RETRY
  return algorithm.type === 'TokenBucket' && amount > 0 ? Math.ceil(((units - free) * spanOf(algorithm.window)) / amount) : resetAfter
}

/** The part of the window before that still weighs. */
function faded(cells: Float64Array, at: number, window: number | 'month', now: number): number {
  const start = startOf(window, now)
  return (cells[at + 2] ?? 0) * (1 - (now - start) / lengthAt(window, start))
}

/** Charges an advanced state. @returns where it was charged: what `adjust` needs */
export function charge({ cells, at, log }: State, { algorithm, units }: Take, now: number): number {
  if (algorithm.type === 'SlidingLog') return log?.add(now, units, spanOf(algorithm.window)) ?? 0
  cells[at + 1] = (cells[at + 1] ?? 0) + units
  return algorithm.type === 'FixedWindow' || algorithm.type === 'SlidingWindow' ? cells[at] ?? 0 : 0
}

/** Changes what was charged earlier, in an advanced state. A window that has passed stays as it is. */
export function adjust({ cells, at, log }: State, { algorithm }: Take, where: number, difference: number): void {
  if (algorithm.type === 'SlidingLog') {
    log?.adjust(where, difference)
    return
  }
  let cell = at + 1
  if (algorithm.type === 'FixedWindow' || algorithm.type === 'SlidingWindow') {
    const start = cells[at] ?? 0
    if (where !== start) {
      if (algorithm.type === 'FixedWindow' || where !== startBefore(algorithm.window, start)) return
      cell = at + 2
    }
  }
  cells[cell] = Math.max(0, (cells[cell] ?? 0) + difference)
}

/** What there is to say of an advanced state after the decision. */
export function verdictOf(state: State, take: Take, now: number, allows: boolean): Verdict {
  return {
    allows,
    remaining: Math.max(0, freeOf(state, take, now)),
    resetAfter: resetAfter(state, take, now),
    retryAfter: allows ? 0 : retryAfter(state, take, now),
  }
}

function resetAfter({ cells, at, log }: State, { algorithm, amount }: Take, now: number): number {
  switch (algorithm.type) {
    case 'FixedWindow':
    case 'SlidingWindow':
      return endOf(algorithm.window, now) - now
    case 'TokenBucket': {
      const used = cells[at + 1] ?? 0
      return used === 0 ? 0 : Math.ceil((used * spanOf(algorithm.window)) / amount)
    }
    case 'SlidingLog':
      return log === undefined || log.length === 0 ? 0 : log.lastTime + spanOf(algorithm.window) - now
    case 'Concurrency':
      break
  }
  return 0
}

function retryAfter(state: State, take: Take, now: number): number {
  const { algorithm, amount } = take
  const units = neededBy(take)
  if (units > capacityOf(take)) return Number.POSITIVE_INFINITY
  const lacking = units - freeOf(state, take, now)
  switch (algorithm.type) {
    case 'FixedWindow':
      return endOf(algorithm.window, now) - now
    case 'SlidingWindow':
      return slides(state, algorithm.window, amount - units, now)
    case 'TokenBucket':
      return amount === 0 ? Number.POSITIVE_INFINITY : Math.ceil((lacking * spanOf(algorithm.window)) / amount)
    case 'SlidingLog':
      return Math.max(1, (state.log?.whenAtMost(amount - units, spanOf(algorithm.window)) ?? 0) - now)
    case 'Concurrency':
      break
  }
  return CONCURRENCY_RETRY
}

/** How long until a sliding window has faded to `most`: within this window, or else within the next. */
function slides({ cells, at }: State, window: number | 'month', most: number, now: number): number {
  const [start, end] = [startOf(window, now), endOf(window, now)]
  const [used, before] = [cells[at + 1] ?? 0, cells[at + 2] ?? 0]
  if (used <= most) return Math.max(1, Math.ceil((1 - (most - used) / before) * (end - start)) - (now - start))
  return end - now + Math.ceil((1 - most / used) * lengthAt(window, end))
}

/** When nothing of an advanced state will matter any more; ms since the epoch. */
export function expiryOf({ cells, at, log }: State, { algorithm, amount }: Take, now: number): number {
  switch (algorithm.type) {
    case 'FixedWindow':
      return endOf(algorithm.window, now)
    case 'SlidingWindow': {
      const end = endOf(algorithm.window, now)
      return end + lengthAt(algorithm.window, end)
    }
    case 'TokenBucket': {
      const used = cells[at + 1] ?? 0
      return used === 0 ? now : now + (used * spanOf(algorithm.window)) / amount
    }
    case 'SlidingLog':
      return log === undefined || log.length === 0 ? now : log.lastTime + spanOf(algorithm.window)
    case 'Concurrency':
      break
  }
  return (cells[at + 1] ?? 0) > 0 ? Number.POSITIVE_INFINITY : now
}

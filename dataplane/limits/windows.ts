import type { Algorithm } from '../../table/limits.ts'

/** Milliseconds, or the calendar month; both begin at whole ones of UTC. */
export type Window = Extract<Algorithm, { window: unknown }>['window']

/** A twelfth of the Gregorian year, in milliseconds. */
export const MONTH = 2_629_746_000

/** The month of the last question: nearly all are about the same one. */
let month = { start: 0, end: 0 }

function monthOf(now: number) {
  if (now < month.start || now >= month.end) {
    const date = new Date(now)
    const [year, index] = [date.getUTCFullYear(), date.getUTCMonth()]
    month = { start: Date.UTC(year, index), end: Date.UTC(year, index + 1) }
  }
  return month
}

/** When the window began that `now` is in. Milliseconds since the epoch, as everywhere here. */
export const startOf = (window: Window, now: number) => (window === 'month' ? monthOf(now).start : now - (now % window))

export const endOf = (window: Window, now: number) => (window === 'month' ? monthOf(now).end : now - (now % window) + window)

/** How long the window is that begins at `start`. */
export const lengthAt = (window: Window, start: number) => (window === 'month' ? endOf(window, start) - start : window)

/** When the window before the one that begins at `start` began. */
export function startBefore(window: Window, start: number): number {
  if (window !== 'month') return start - window
  const date = new Date(start)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - 1)
}

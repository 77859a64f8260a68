/**
 * Requests are shed from when the event loop has been later than this, without a break, for that long. Milliseconds. Once
 * late, however late, is a machine that stood still: nothing waits but what came meanwhile.
 */
const lateAt = 300
const lateFor = 1000
/** What could be left out is, from when it was once later than this, for so long. Milliseconds. */
const busyAt = 50
const busyFor = 500
/** How often it looks. */
const every = 50

/** Percent of the requests: how much more or less is shed with each look. A little always gets through. */
const more = 10
const less = 5
const most = 90

export type Shedder = Readonly<{
  /** @param late milliseconds that a look came after its time @param now milliseconds */
  look(late: number, now: number): void
  /** Whether this request is one of those to be refused. */
  shed(): boolean
  /** Whether what could be left out is to be: long before anything is refused. @param now milliseconds */
  busy(now: number): boolean
}>

/**
 * How late the event loop is says how much work waits for this process, whatever it is waiting for. A burst is worked
 * off; only what lasts is shed, in growing shares until the loop keeps up again (additive increase and decrease).
 */
export function createShedder(): Shedder {
  let share = 0
  let turn = 0
  let inTime: number | undefined
  let again = false
  let busyUntil = 0
  return {
    look(late, now) {
      if (late >= busyAt) busyUntil = now + busyFor
      if (late < lateAt || inTime === undefined) inTime = now
      share = again && now - inTime >= lateFor ? Math.min(most, share + more) : Math.max(0, share - less)
      again = late >= lateAt
    },
    shed() {
      if (share === 0) return false
      turn += share
      if (turn < 100) return false
      turn -= 100
      return true
    },
    busy: (now) => now < busyUntil,
  }
}

/** Watches this process. */
export function startShedding(): Readonly<{ shed: () => boolean; busy: () => boolean; close: () => void }> {
  const shedder = createShedder()
  let due = performance.now() + every
  const timer = setInterval(() => {
    const now = performance.now()
    shedder.look(now - due, now)
    due = now + every
  }, every).unref()
  return { shed: shedder.shed, busy: () => shedder.busy(performance.now()), close: () => clearInterval(timer) }
}

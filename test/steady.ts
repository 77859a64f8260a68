import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { wallClock } from './wall.ts'

/**
 * Time for tests that race with deadlines of their own: it does not go by while this process stands still, as it may for
 * seconds where a machine is shared. Who answers after 20 ms is then in time for 100 wherever both are here, and a
 * deadline of 100 ms is still one of 100 ms in which something could have been done. To import it is enough. What other
 * processes and threads wait for, and Node itself, goes by the clock on the wall.
 */

const wallDate = Date.now
const wallTimeout = setTimeout

/** Milliseconds between two looks at the clock, and between how many the rest is left out. */
const every = 5
const most = 15

let last = wallClock()
let stood = 0

function now(): number {
  const at = wallClock()
  if (at - last > most) stood += at - last - every
  last = at
  return at - stood
}

/** Timers come early by this, rounded. */
const rounding = 2
/** What no timer can hold runs at once. */
const longest = 2 ** 31 - 1

/** One that comes while its time has not gone by waits for the rest. */
function steadyTimeout<Args extends unknown[]>(run: (...args: Args) => void, ms = 1, ...args: Args): NodeJS.Timeout {
  let begun = now()
  const timer = wallTimeout(() => {
    const left = begun + ms - now()
    if (left > rounding && ms <= longest) again(Math.ceil(left))
    else run(...args)
  }, ms)
  const refresh = timer.refresh.bind(timer)
  // Node tells no other way to set a timer anew that its owner can still clear.
  const again = (milliseconds: unknown) => {
    Reflect.set(timer, '_idleTimeout', milliseconds)
    return refresh()
  }
  const whole: unknown = Reflect.get(timer, '_idleTimeout')
  timer.refresh = () => {
    begun = now()
    return again(whole)
  }
  return timer
}

function steadyAbort(ms: number): AbortSignal {
  const controller = new AbortController()
  steadyTimeout(() => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')), ms).unref()
  return controller.signal
}

performance.now = now
Date.now = () => Math.round(wallDate() - stood)
globalThis.setTimeout = Object.assign(steadyTimeout, { [promisify.custom]: sleep }) as unknown as typeof setTimeout
AbortSignal.timeout = steadyAbort
setInterval(now, every).unref()

/** The longest that a timer of Node can be set for; beyond it, it fires at once. Milliseconds. */
export const timerMax = 2_147_483_647

/**
 * Node looks for the global `performance` anew each time that it is named, which a request does often. From here on it
 * is there.
 */
export function keepClock(): void {
  Object.defineProperty(globalThis, 'performance', { value: performance, writable: true, enumerable: true, configurable: true })
}

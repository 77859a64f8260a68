/** `performance.now()` by the clock on the wall, whatever a test makes of time (steady.ts). */
export const wallClock: () => number = performance.now.bind(performance)

/**
 * Milliseconds until a controller is called again: twice as long after each failure, up to `most`, and up to half less by
 * chance, so that a fleet whose controller went does not come back to it in one moment.
 */
export function pauseBefore(failures: number, least: number, most: number, random: () => number = Math.random): number {
  return Math.min(most, least * 2 ** Math.min(failures, 16)) * (0.5 + random() / 2)
}

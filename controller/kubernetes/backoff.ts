/**
 * Milliseconds to wait before the next try, `failures` counting from 0. The first is next to none: most often one
 * connection of many was cut. Then 0.8–1.6 s, doubling up to `cap`. Half of each wait is random, so that a fleet of
 * watchers does not come back to a restarted API server in step.
 */
export function backoff(failures: number, cap = 30_000, random: () => number = Math.random): number {
  if (failures === 0) return 100 * random()
  const full = Math.min(cap, 1_600 * 2 ** Math.min(failures - 1, 30))
  return full * (0.5 + random() / 2)
}

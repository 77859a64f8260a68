/** Milliseconds before a worker that ended is replaced: at once, but for one that ends again and again. */
const first = 100
const most = 5000
/** A worker that lived this long was not what was wrong. Milliseconds. */
const lived = 10_000

/** @param failures how often the one before it had ended young
 *  @param life milliseconds that it lived */
export function afterEnd(failures: number, life: number): { failures: number; wait: number } {
  if (life >= lived) return { failures: 0, wait: first }
  return { failures: failures + 1, wait: Math.min(most, first * 2 ** Math.min(failures, 10)) }
}

/** Mulberry32: the same numbers in each run. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mix = Math.imul(state ^ (state >>> 15), 1 | state)
    mix = (mix + Math.imul(mix ^ (mix >>> 7), 61 | mix)) ^ mix
    return ((mix ^ (mix >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A request that comes after so many milliseconds, and takes a server so many. */
export type Job = Readonly<{ at: number; takes: number }>

/**
 * Requests that come by chance (Poisson), so that servers which work on so many at once have so much of their time
 * taken; of each length as many as is said. The same in each run.
 */
export function jobs(count: number, load: Readonly<{ busy: number; places: number; lengths: readonly (readonly [part: number, takes: number])[]; seed?: number }>): Job[] {
  const random = seeded(load.seed ?? 1)
  const mean = load.lengths.reduce((sum, [part, takes]) => sum + part * takes, 0)
  const between = mean / (load.places * load.busy)
  let at = 0
  return Array.from({ length: count }, () => {
    at += -Math.log(1 - random()) * between
    let toss = random()
    const takes = load.lengths.find(([part]) => (toss -= part) < 0)?.[1] ?? load.lengths[0]?.[1] ?? 0
    return { at, takes }
  })
}

export const mean = (all: readonly number[]): number => all.reduce((sum, one) => sum + one, 0) / all.length
export const percentile = (all: readonly number[], part: number): number => all.toSorted((a, b) => a - b)[Math.ceil(all.length * part) - 1] ?? 0

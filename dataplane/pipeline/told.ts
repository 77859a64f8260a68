import type { Standing } from '../limits/limiter.ts'

/** One count of a limit as an imagined request finds it, with nothing taken: also of limits that only watch. */
export type LimitTold = Standing & Readonly<{
  /** What it asks for. */
  units: number
  allows: boolean
}>

/** How the variant was chosen. `bucket`: of 2^32, of a key that sticks. Shares are percents of the requests that are split. */
export type SplitTold = Readonly<{ by: string; bucket?: number; shares: readonly Readonly<{ variant: string; percent: number }>[] }>

/**
 * What the cache would do. `key`: the beginning of a digest. `stale`: what is kept is too old, and would stand in for a
 * backend that fails. `age`, `lifetime`: seconds.
 */
export type CacheTold = Readonly<{
  result: 'hit' | 'semantic-hit' | 'miss' | 'bypass'
  key?: string
  age?: number
  lifetime?: number
  stale?: boolean
  why?: string
}>

/** What an imagined request learns on its way, beside the reasons. */
export type Told = {
  /** For the caller: not of limits that only watch, and of several counts of one limit the one with the least left. */
  standings?: readonly Standing[]
  limits?: readonly LimitTold[]
  split?: SplitTold
  cache?: CacheTold
  /** A backend would have been asked of its model, and was not. */
  unasked?: boolean
}

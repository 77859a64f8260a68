/**
 * What a cache had to do with a request. `stale`: an answer that is too old stood in for a backend that failed. `age`:
 * seconds, of an answer that was kept. `billed`: the part of what it cost at first that it costs now, and what of that
 * was time of the backend, in seconds.
 */
export type Cached = Readonly<{ result: 'hit' | 'semantic-hit' | 'miss' | 'bypass' | 'stale'; age?: number; similarity?: number; why?: string; billed?: number; backendSeconds?: number }>

/** Others who wait for the answer to a request. */
export type Audience = Readonly<{
  /** Its client has left. False: so has everybody else. @param gone called once that is so */
  stays(gone: () => void): boolean
  /** There will be no answer. */
  fail(): void
}>

// Waiting for a condition, with what was last seen in the error when it does not come true.

export type Patience = Readonly<{ timeout?: number, every?: number, describe?: () => string }>

/** Polls until `look` returns something other than undefined, null or false, and returns it. Times are in ms. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  { timeout = 60_000, every = 50, describe }: Patience = {},
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = performance.now() + timeout
  let last: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined && found !== null && found !== false) return found as Exclude<T, undefined | null | false>
      last = found
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) {
      const seen = last instanceof Error ? last.message : JSON.stringify(last)
      throw new Error(`waited ${timeout} ms for ${what}; last saw ${seen}${describe ? `\n${describe()}` : ''}`)
    }
    await pause(every)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

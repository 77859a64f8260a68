/** Work that can be put aside: it says so again and again, and is gone on with later. */
export type Sliced<T = void> = Generator<undefined, T>

/** As many values as are looked at between two chances to put the work aside. */
export const sliceLength = 4096

/** Milliseconds at a stretch: requests that come meanwhile wait for no more. */
const stretch = 2

/** Does the work in stretches, and lets everything else go first after each. */
export function inSlices<T>(work: Sliced<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const go = (): void => {
    const until = performance.now() + stretch
    try {
      for (;;) {
        const { done, value } = work.next()
        if (done === true) {
          resolve(value)
          return
        }
        if (performance.now() >= until) break
      }
    } catch (error) {
      reject(error instanceof Error ? error : new Error(String(error)))
      return
    }
    setImmediate(go)
  }
  setImmediate(go)
  return promise
}

/** Work that can be put aside: it says so again and again, and is gone on with later. */
export type Sliced<T = void> = Generator<undefined, T>

/** Does it without putting it aside. */
export function atOnce<T>(work: Sliced<T>): T {
  for (;;) {
    const { done, value } = work.next()
    if (done === true) return value
  }
}

/** As many values as are looked at between two chances to put the work aside. */
export const sliceLength = 4096

/** Milliseconds of a turn of the event loop: requests that come meanwhile wait for no more, however much there is to do. */
const stretch = 1

/** What is to be done, one after the other. Each goes on until that time, and says whether it is done. */
const waiting: ((until: number) => boolean)[] = []
let scheduled = false

function turn(): void {
  const until = performance.now() + stretch
  let [first] = waiting
  while (first !== undefined && performance.now() < until) {
    if (first(until)) waiting.shift()
    first = waiting[0]
  }
  scheduled = first !== undefined
  if (scheduled) setImmediate(turn)
}

/** Does the work in stretches, and lets everything else go first after each. @param spent told how long each took, in milliseconds */
export function inSlices<T>(work: Sliced<T>, spent: (milliseconds: number) => void): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  waiting.push((until) => {
    const begun = performance.now()
    try {
      for (;;) {
        const { done, value } = work.next()
        if (done === true) {
          resolve(value)
          return true
        }
        if (performance.now() >= until) return false
      }
    } catch (error) {
      reject(error instanceof Error ? error : new Error(String(error)))
      return true
    } finally {
      spent(performance.now() - begun)
    }
  })
  if (!scheduled) setImmediate(turn)
  scheduled = true
  return promise
}

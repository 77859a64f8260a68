/** What is done one after the other. */
export type Line = Readonly<{
  /** At once where nothing is under way, else after all that came before. A promise: it is under way until then; it never rejects. */
  join(job: () => Promise<void> | undefined): void
}>

export function createLine(): Line {
  const waiting: (() => Promise<void> | undefined)[] = []
  let busy = false

  function goOn(): void {
    busy = true
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const under = job()
      if (under === undefined) continue
      void under.then(goOn)
      return
    }
    busy = false
  }

  return {
    join(job) {
      waiting.push(job)
      if (!busy) goOn()
    },
  }
}

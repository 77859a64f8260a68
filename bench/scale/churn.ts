import { now } from './messages.ts'
import type { Rig } from './rig.ts'
import { slicePath } from './world.ts'

/** Pods of a rolling cluster: one endpoint stops being ready, another is ready again, 100 times a second. Ends with how often it was. */
export function churn({ cluster }: Rig, routes: number, rate = 100): () => Promise<number> {
  const from = now()
  let begun = 0
  let done = 0
  const under = new Set<Promise<unknown>>()
  const beat = setInterval(() => {
    while (begun < ((now() - from) * rate) / 1000 && under.size < 50) {
      const turn = begun++
      // Each is not ready for two seconds.
      const lost = turn % 2 === 0
      const index = ((lost ? turn : turn - rate * 2 + 1) * 7 + routes * 14) % routes
      const call = cluster.api.patch(slicePath(Math.abs(index)), [{ op: 'replace', path: '/endpoints/2/conditions/ready', value: !lost }], 'json')
        .then(() => { done++ }, (error: unknown) => process.stderr.write(`${String(error)}\n`))
        .finally(() => under.delete(call))
      under.add(call)
    }
  }, 5)
  return async () => {
    clearInterval(beat)
    await Promise.all(under)
    return (done * 1000) / (now() - from)
  }
}

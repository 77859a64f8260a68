// `npm run bench:semantic`: what a similarity of vectors takes for the same, by a real embedding model over pairs of
// prompts that look alike; with and without the look at what vectors don't show.
import * as v from 'valibot'
import { agree, readingOf } from '../dataplane/cache/semantic/particulars.ts'
import { pairs, startEmbedding } from '../test/servers/embedding/embedding.ts'

const thresholds = [0.85, 0.9, 0.92, 0.95, 0.97, 0.99]
const Answer = v.object({ data: v.array(v.object({ embedding: v.array(v.number()) })) })

const model = await startEmbedding()
const all = pairs()
const similarities: number[] = []
for (const { one, other } of all) {
  const [a, b] = v.parse(Answer, await model.know(one, other)).data.map(({ embedding }) => embedding)
  similarities.push((a ?? []).reduce((sum, value, at) => sum + value * (b?.[at] ?? 0), 0))
}
await model.stop()

const comparable = all.map(({ one, other }) => {
  const [a, b] = [readingOf(one), readingOf(other)]
  return a.particulars === b.particulars && agree(a.words, b.words)
})
const [same, others] = [all.filter((pair) => pair.same).length, all.filter((pair) => !pair.same).length]
console.log(`| threshold | of ${same} that mean the same: hits | by vectors alone | of ${others} that do not: false hits | by vectors alone |\n| --- | --- | --- | --- | --- |`)
for (const threshold of thresholds) {
  const count = (wanted: boolean, looked: boolean) => all.filter(({ same: is }, at) => is === wanted && (similarities[at] ?? 0) >= threshold && (!looked || comparable[at])).length
  console.log(`| ${threshold} | ${count(true, true)} | ${count(true, false)} | ${count(false, true)} | ${count(false, false)} |`)
}
console.log('\nFalse hits by vectors alone at 0.95, by what differs:')
for (const kind of new Set(all.filter((pair) => !pair.same).map((pair) => pair.kind))) {
  const of = all.flatMap((pair, at) => pair.kind === kind ? [at] : [])
  console.log(`${kind}: ${of.filter((at) => (similarities[at] ?? 0) >= 0.95).length} of ${of.length}`)
}

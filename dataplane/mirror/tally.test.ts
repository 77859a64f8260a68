import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addReports, MirrorTally } from './tally.ts'

function counted(id: string, largest: number, similarity: number): MirrorTally {
  const tally = new MirrorTally('ml/fraud', 'infer', 'shadow', '2')
  tally.count('answered')
  tally.count('failed')
  tally.skip('too_large')
  tally.conclude(
    { result: 'mismatch', count: 1, differences: [{ place: '/p', kind: 'value', count: 1, largest }], labels: { vectors: 2, labelDiffers: 1, topDiffers: 1 }, similarity },
    { requestId: id, variant: 'stable' },
  )
  return tally
}

test('what several processes tell of one rule is one report', () => {
  const [one, other] = [counted('a', 0.5, 0.95).report(), counted('b', 2, 1).report()]
  const quiet = new MirrorTally('ml/fraud', 'other', 'shadow', '').report()
  const [together, second] = addReports([[one, quiet], [other], undefined])
  assert.deepEqual(together && { ...together, samples: together.samples.map(({ requestId }) => requestId).toSorted() }, {
    route: 'ml/fraud', rule: 'infer', variant: 'shadow',
    copies: { answered: 2, failed: 2 }, compared: { skipped: 2, mismatch: 2 }, skipped: { too_large: 2 },
    labels: { vectors: 4, labelDiffers: 2, topDiffers: 2 }, similarity: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
    places: [{ place: '/p', kind: 'value', answers: 2, largest: 2 }], samples: ['a', 'b'],
  })
  assert.equal(second?.rule, 'other')
})

test('so many of each hundred are taken, exactly, whatever the share', () => {
  for (const percent of [1, 7, 33, 50, 99, 100]) {
    const tally = new MirrorTally('ml/fraud', 'infer', 'shadow', '')
    let taken = 0
    for (let n = 1; n <= 1000; n++) {
      if (tally.turn(percent)) taken++
      assert.ok(Math.abs(taken - (n * percent) / 100) < 1, `${taken} of ${n} at ${percent} %`)
    }
  }
})

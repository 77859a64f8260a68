import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as hold, integer, property, string, uniqueArray } from 'fast-check'
import { createSticky } from './sticky.ts'

const keys = Array.from({ length: 20_000 }, (_, n) => `c:user-${n}`)

type Weights = Readonly<Record<string, number>>

/** The variant of each key. */
function assign(weights: Weights, seed = 'ml/fraud\ninfer', all: readonly string[] = keys): string[] {
  const shares = Object.entries(weights).map(([name, weight]) => ({ name, weight }))
  const sticky = createSticky(shares, seed)
  assert.ok(sticky)
  return all.map((key) => shares[sticky.of(sticky.bucketOf(key))]?.name ?? '')
}

function counted(assigned: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of assigned) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

/** Pearson's statistic of what was counted against what the weights say. */
function chiSquare(weights: Weights, counts: ReadonlyMap<string, number>): number {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
  const whole = Object.values(weights).reduce((sum, weight) => sum + weight, 0)
  return Object.entries(weights).reduce((sum, [name, weight]) => {
    const expected = (total * weight) / whole
    return expected === 0 ? sum : sum + ((counts.get(name) ?? 0) - expected) ** 2 / expected
  }, 0)
}

/** What chance passes once in ten thousand times, by degrees of freedom. */
const critical = [0, 15.1, 18.4, 21.1]

test('each variant has keys in proportion to its weight, whatever the keys look like', () => {
  const kinds: Readonly<Record<string, (n: number) => string>> = {
    numbers: String,
    consumers: (n) => `c:user-${n}`,
    addresses: (n) => `ip:10.${n >> 16 & 255}.${n >> 8 & 255}.${n & 255}`,
    bits: (n) => n.toString(2).padStart(17, '0'),
    'one character': (n) => String.fromCharCode(n),
    'only the end differs': (n) => `${'x'.repeat(200)}${n}`,
  }
  const splits: readonly Weights[] = [
    { stable: 990_000, canary: 10_000 },
    { stable: 500_000, canary: 500_000 },
    { stable: 999_000, canary: 1000 },
    { a: 600_000, b: 300_000, c: 90_000, d: 10_000 },
    { a: 333_334, b: 333_333, none: 0, c: 333_333 },
  ]
  for (const [kind, key] of Object.entries(kinds)) {
    const all = Array.from({ length: 60_000 }, (_, n) => key(n))
    for (const weights of splits) {
      const counts = counted(assign(weights, 'ml/fraud\ninfer', all))
      const used = Object.values(weights).filter((weight) => weight > 0).length
      const statistic = chiSquare(weights, counts)
      assert.ok(statistic < critical[used - 1]!, `${kind} over ${JSON.stringify(weights)}: ${JSON.stringify([...counts])}, chi-square ${statistic}`)
      assert.equal(counts.get('none'), undefined)
    }
  }
})

test('as the candidate grows a key moves at most once, to it; as it shrinks, back to where it was', () => {
  hold(property(
    uniqueArray(integer({ min: 0, max: 1_000_000 }), { minLength: 2, maxLength: 12 }),
    string(),
    (weights, seed) => {
      const rising = weights.toSorted((a, b) => a - b)
      const some = keys.slice(0, 2000)
      const steps = rising.map((canary) => assign({ stable: 1_000_000 - canary, canary }, seed, some))
      for (const at of some.keys()) {
        const way = steps.map((step) => step[at])
        const moved = way.filter((name, i) => i > 0 && name !== way[i - 1]).length
        assert.ok(moved <= 1, `${some[at]}: ${way.join(' ')}`)
        if (moved === 1) assert.deepEqual([way[0], way.at(-1)], ['stable', 'canary'])
      }
      // An abort, whatever the step: everybody is back at once, and a second rollout takes the same keys first.
      assert.deepEqual(assign({ stable: 1_000_000 - rising[0]!, canary: rising[0]! }, seed, some), steps[0])
    },
  ), { numRuns: 40 })
})

test('of three variants the two others keep their keys while one grows', () => {
  const others = { a: 6, b: 3 }
  let before = assign({ ...others, canary: 0 })
  for (const percent of [1, 5, 10, 25, 50, 75, 99]) {
    const rest = (100 - percent) / 9
    const after = assign({ a: Math.round(6 * rest * 10_000), b: Math.round(3 * rest * 10_000), canary: percent * 10_000 })
    for (const [at, name] of after.entries()) if (name !== before[at]) assert.equal(name, 'canary', `${keys[at]} at ${percent} %`)
    before = after
  }
})

test('a hundred edits up and down leave no drift: where a key is depends on the weights alone', () => {
  const at25 = assign({ stable: 75, canary: 25 })
  for (let edit = 0; edit < 100; edit++) assign({ stable: edit + 1, canary: 100 - edit })
  assert.deepEqual(assign({ stable: 75, canary: 25 }), at25)
})

test('two rules spread the same keys independently', () => {
  const weights = { stable: 500_000, canary: 500_000 }
  const one = assign(weights, 'ml/fraud\ninfer')
  for (const other of ['ml/fraud\nother', 'ml/fraud2\ninfer', 'ml/frau\ndinfer']) {
    const pairs = counted(assign(weights, other).map((name, at) => `${one[at]} ${name}`))
    const statistic = chiSquare({ 'stable stable': 1, 'stable canary': 1, 'canary stable': 1, 'canary canary': 1 }, pairs)
    assert.ok(statistic < critical[3]!, `${other}: ${JSON.stringify([...pairs])}`)
  }
})

test('where nothing has a weight there is nothing to be given', () => {
  assert.equal(createSticky([{ name: 'a', weight: 0 }], ''), undefined)
})

test('a key is the same key in every proxy and every version of it', () => {
  const sticky = createSticky([{ name: 'stable', weight: 750_000 }, { name: 'canary', weight: 250_000 }], 'ml/fraud\ninfer')
  assert.deepEqual(['c:ann', 'c:bob', 'ip:192.0.2.7', 'ü', ''].map((key) => sticky && { position: sticky.of(sticky.bucketOf(key)), bucket: sticky.bucketOf(key) }), [
    { position: 0, bucket: 2635658955 }, { position: 0, bucket: 4030635258 }, { position: 1, bucket: 2251334050 },
    { position: 1, bucket: 616563303 }, { position: 0, bucket: 1729794969 },
  ])
})

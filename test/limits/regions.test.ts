import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { tableOf } from '../../bench/regions.ts'
import { cutOff, play, sumsOf, world, type Cut, type Design, type Scenario } from './regions.ts'

const small: Omit<Scenario, 'design'> = {
  ...world, limit: 600, regions: world.regions.map((region) => ({ ...region, demand: region.demand.map((rate) => rate / 10) })),
}
const proxies = small.regions.reduce((sum, region) => sum + region.proxies, 0)
const designs: readonly Design[] = [
  { kind: 'one', onStoreFailure: 'Local' }, { kind: 'one', onStoreFailure: 'Allow' }, { kind: 'one', onStoreFailure: 'Deny' },
  { kind: 'shares', parts: [1 / 3, 1 / 3, 1 / 3] }, { kind: 'shares', parts: [0.5, 0.3, 0.2] }, { kind: 'demand', every: 10_000 },
]
const cuts: readonly (Cut | undefined)[] = [undefined, cutOff('b'), cutOff('b', 'c'), { ...cutOff('a', 'b', 'c'), down: true }]

/** What others took since each proxy last heard how much is left: as many requests as there are proxies, or some more. */
const unheard = 2 * proxies

/** In one window, at most. */
function bound(design: Design, cut: Cut | undefined): number {
  if (cut === undefined || (design.kind !== 'one' && cut.down !== true)) return small.limit
  if (design.kind !== 'one') return small.limit + unheard
  if (design.onStoreFailure === 'Deny') return small.limit
  const away = small.regions.filter(({ name }) => cut.regions.includes(name))
  if (design.onStoreFailure === 'Allow') return Number.POSITIVE_INFINITY
  const part = away.reduce((sum, region) => sum + region.proxies, 0) / proxies
  // Where all are cut off, nobody counts beside them.
  return (cut.down === true ? small.limit : small.limit * (1 + part)) + unheard
}

for (const seed of [1, 2, 3]) {
  test(`no window admits more than its design allows in any partition (seed ${seed})`, () => {
    for (const design of designs) {
      for (const cut of cuts) {
        const { windows } = play({ ...small, design, seed, ...(cut && { cut }) })
        const most = Math.max(...windows.map(({ admitted }) => admitted))
        assert.ok(most <= bound(design, cut), `${JSON.stringify(design)}, ${JSON.stringify(cut)}: ${most} > ${bound(design, cut)}`)
      }
    }
  })
}

test('the bound of a partition is no more than there is to see: a region that is cut off does admit its part beside the whole', () => {
  const busy = small.regions.map((region) => ({ ...region, demand: region.demand.map((rate) => rate * 4) }))
  const { windows } = play({ ...small, regions: busy, design: { kind: 'one', onStoreFailure: 'Local' }, cut: cutOff('b') })
  const most = Math.max(...windows.map(({ admitted }) => admitted))
  assert.ok(most > small.limit * 1.3, `${most}`)
})

test('one Redis refuses nobody while there is room, and so does a division that follows demand', () => {
  const calm = small.regions.map((region) => ({ ...region, demand: region.demand.map((rate) => rate / 2) }))
  for (const design of [{ kind: 'one', onStoreFailure: 'Deny' }, { kind: 'demand', every: 10_000 }] as const) {
    assert.equal(sumsOf(play({ ...small, regions: calm, design }), small.limit).needless, 0)
  }
})

test('fixed shares refuse while there is room, as soon as demand moves', () => {
  const { needless } = sumsOf(play({ ...small, design: { kind: 'shares', parts: [0.5, 0.3, 0.2] } }), small.limit)
  assert.ok(needless > 0.03, `${needless}`)
})

test('a region beside its Redis waits for none of the others', () => {
  const { p99 } = sumsOf(play({ ...small, design: { kind: 'demand', every: 10_000 }, cut: cutOff('b') }), small.limit)
  assert.equal(p99, 0.5)
})

test('docs/scale.md has what the simulation says: npm run bench:regions', () => {
  assert.ok(readFileSync(join(import.meta.dirname, '../../docs/scale.md'), 'utf8').includes(`\n${tableOf(1)}\n`))
})

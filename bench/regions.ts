import { cutOff, play, sumsOf, world, type Cut, type Design } from '../test/limits/regions.ts'

/**
 * `npm run bench:regions`: one limit over three regions, in every way that it can be divided among them, with and without
 * a partition. Simulated time, from a seed: two runs give the same numbers. The ways are described in docs/scale.md.
 */

const designs: readonly (readonly [string, Design])[] = [
  ['one Redis, `Local`', { kind: 'one', onStoreFailure: 'Local' }],
  ['one Redis, `Allow`', { kind: 'one', onStoreFailure: 'Allow' }],
  ['one Redis, `Deny`', { kind: 'one', onStoreFailure: 'Deny' }],
  ['one each, thirds', { kind: 'shares', parts: [1 / 3, 1 / 3, 1 / 3] }],
  ['one each, by past demand', { kind: 'shares', parts: [0.5, 0.3, 0.2] }],
  ['one each, by demand, every 10 s', { kind: 'demand', every: 10_000 }],
  ['one each, the whole limit', { kind: 'shares', parts: [1, 1, 1] }],
]

const cuts: readonly (readonly [string, Cut | undefined])[] = [
  ['none', undefined],
  ['b cut off', cutOff('b')],
  ['b and c cut off', cutOff('b', 'c')],
  ['every Redis down', { ...cutOff('a', 'b', 'c'), down: true }],
]

const percent = (part: number) => `${(part * 100).toFixed(1)} %`

/** @param scale of the demand */
export function tableOf(scale: number): string {
  const regions = world.regions.map((region) => ({ ...region, demand: region.demand.map((rate) => rate * scale) }))
  const rows = cuts.flatMap(([name, cut]) => designs.map(([design, how]) => {
    const { admitted, worst, needless, p50, p99 } = sumsOf(play({ ...world, regions, design: how, ...(cut && { cut }) }), world.limit)
    return `| ${name} | ${design} | ${percent(admitted)} | ${percent(worst)} | ${percent(needless)} | ${p50} ms | ${p99} ms |\n`
  }))
  return `| partition | quota | admitted/limit | worst minute | refused though there was room | added latency p50 | p99 |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |\n${rows.join('')}`
}

if (import.meta.main) {
  for (const [what, scale] of [['150 requests/s of 100 allowed', 1], ['90 requests/s of 100 allowed', 0.6]] as const) {
    console.log(`\n${what}, limit 6,000 a minute, 10 minutes; cut off from 2:10 to 6:10\n\n${tableOf(scale)}`)
  }
}

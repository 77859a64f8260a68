import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Balance } from '../../table/resilience.ts'
import { jobs, mean, percentile } from './random.ts'
import { simulate } from './simulation.ts'

const evenly = Array.from({ length: 8 }, () => 1)

/** One request in ten takes fifty times as long as the others. */
const uneven = (short: number, places: number) =>
  jobs(20_000, { busy: 0.8, places: 8 * places, lengths: [[0.9, short], [0.1, 50 * short]] })

test('uneven work: InferenceAware takes less than 0.6 of the time of RoundRobin, and none more than LeastRequest', () => {
  for (const short of [2, 20, 200]) {
    const all = uneven(short, 4)
    const took = (policy: Balance['policy'], proxies: number) => mean(simulate({ servers: evenly, places: 4, proxies, policy, jobs: all }))
    for (const proxies of [1, 3, 8]) {
      const [turns, least, aware] = [took('RoundRobin', proxies), took('LeastRequest', proxies), took('InferenceAware', proxies)]
      assert.ok(aware <= 0.6 * turns, `${proxies} proxies, ${short} ms: ${aware} of ${turns}`)
      assert.ok(aware <= 1.05 * least, `${proxies} proxies, ${short} ms: ${aware} against ${least}`)
    }
  }
})

test('where each proxy sees an eighth of the requests, what the servers report nearly halves the time of LeastRequest', () => {
  const all = uneven(200, 1)
  const took = (policy: Balance['policy']) => mean(simulate({ servers: evenly, places: 1, proxies: 8, policy, jobs: all }))
  const [least, aware] = [took('LeastRequest'), took('InferenceAware')]
  assert.ok(aware <= 0.6 * least, `${aware} against ${least}`)
})

test('one of ten is twenty times slower: PeakEWMA goes around it, and RoundRobin shows why that matters', () => {
  const nine = Array.from({ length: 9 }, () => 1)
  const all = jobs(30_000, { busy: 0.3, places: 90, lengths: [[0.5, 15], [0.3, 25], [0.2, 40]] })
  const p99 = (policy: Balance['policy'], servers: readonly number[]) => percentile(simulate({ servers, places: 10, proxies: 3, policy, jobs: all }), 0.99)
  const good = p99('PeakEWMA', nine)
  const peak = p99('PeakEWMA', [...nine, 20])
  const turns = p99('RoundRobin', [...nine, 20])
  assert.ok(peak <= 1.3 * good, `${peak} against ${good}`)
  assert.ok(turns > 20 * good, `${turns} against ${good}`)
})

import type { Analysis, Gate } from '../controller/compile/analysis.ts'
import { play, type Quality, type Scenario } from '../test/rollout/simulation.ts'

/**
 * `npm run bench:analysis [-- --rollouts N]`: how often the judge of rollouts errs. Rollouts of known quality are played
 * through in simulated time, each from a seed of its own, so that two runs give the same numbers.
 */

const at = process.argv.indexOf('--rollouts')
const rollouts = at === -1 ? 1000 : Number(process.argv[at + 1])

const good: Quality = { errors: 0.002, median: 0.05, spread: 0.5 }
const errorRate: Gate = { name: 'error-rate', measure: { type: 'ErrorRate' }, bounds: { max: 0.01 } }
const latency = (percentile: number): Gate => ({ name: `p${percentile}-latency`, measure: { type: 'Latency', percentile }, bounds: { maxRatio: 1.2 } })
const analysis: Analysis = { interval: 10_000, minRequests: 200, failureLimit: 2, onNoData: 'Hold', gates: [errorRate, latency(50), latency(99)] }
const steps = [5, 25, 50].map((percent) => ({ percent, hold: 60_000 }))

const scenarios: readonly (readonly [string, Partial<Scenario>])[] = [
  ['as good as stable', {}],
  ['as good as stable, and few requests', { rate: 100 }],
  ['twice as slow', { candidate: { ...good, median: 0.1 } }],
  ['twice as slow, and few requests', { candidate: { ...good, median: 0.1 }, rate: 100 }],
  ['2 % more errors', { candidate: { ...good, errors: 0.022 } }],
  ['2 % more errors, and few requests', { candidate: { ...good, errors: 0.022 }, rate: 100 }],
  ['every fifth fails, 30 s after it came to 25 %', { candidate: { ...good, errors: 0.2 }, fromStep: 2, after: 30_000 }],
]

console.log(`${rollouts} rollouts each; steps of 5, 25, 50 %, 60 s; 1,000 requests/s (few: 100); gates: error-rate max 0.01, p50 and p99 at most 1.2 × stable\n`)
console.log('| candidate | completed | aborted | undecided after 20 min | median time, s |\n| --- | --- | --- | --- | --- |')
for (const [name, more] of scenarios) {
  const played = Array.from({ length: rollouts }, (_, seed) => play({ analysis, stable: good, candidate: good, rate: 1000, steps, ...more }, seed + 1))
  const count = (outcome: string) => played.filter((one) => one.outcome === outcome).length
  const times = played.map(({ outcome, inStep, total }) => (outcome === 'aborted' ? inStep : total) / 1000).sort((a, b) => a - b)
  console.log(`| ${name} | ${count('completed')} | ${count('aborted')} | ${count('undecided')} | ${times[Math.floor(times.length / 2)]} |`)
}

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { compare, fairness, groupOf } from './statistics.ts'

/**
 * Joins what an application noted of its users with what the gateway noted of its requests, and compares the variants.
 *
 *   node examples/ab/compare.ts --log audit.jsonl --outcomes outcomes.jsonl --unit user --value bought --variants a=50,b=50
 *
 * `--log`: the gateway's audit or access log. `--outcomes`: a line of JSON for each outcome, with `request_id` of a
 * request that led to it (or `consumer`, for a split by Principal), the unit (who was assigned: one user has one
 * variant), and the value.
 */
const { values: { log, outcomes, unit, value, variants } } = parseArgs({
  options: {
    log: { type: 'string' }, outcomes: { type: 'string' }, unit: { type: 'string', default: 'user' },
    value: { type: 'string', default: 'value' }, variants: { type: 'string', default: 'a=50,b=50' },
  },
})
if (log === undefined || outcomes === undefined) throw new Error('--log FILE and --outcomes FILE are needed')
const weights = variants.split(',').map((part) => part.split('=')).map(([name = '', weight]) => ({ name, weight: Number(weight) }))
const [control, candidate] = weights
if (control === undefined || candidate === undefined) throw new Error('--variants names two, with their weights')

type Line = Readonly<Record<string, string | number | undefined>>
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- of the gateway's log, and of the application's own
const lines = (file: string): Line[] => readFileSync(file, 'utf8').split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line)

const requests = new Map<string | number, string | number>()
const consumers = new Map<string | number, string | number>()
for (const { request_id: id, consumer, variant, status } of lines(log)) {
  // Who got an error was not treated.
  if (variant === undefined || Number(status) >= 400) continue
  requests.set(id ?? '', variant)
  if (consumer !== undefined) consumers.set(consumer, variant)
}

/** By unit: the variants it was seen with, and its values. */
const units = new Map<string | number, { variants: Set<string | number>; sum: number; count: number }>()
let unmatched = 0
for (const line of lines(outcomes)) {
  const variant = requests.get(line['request_id'] ?? '') ?? consumers.get(line['consumer'] ?? '')
  if (variant === undefined) {
    unmatched++
    continue
  }
  const name = line[unit] ?? ''
  const one = units.get(name) ?? { variants: new Set(), sum: 0, count: 0 }
  units.set(name, one)
  one.variants.add(variant)
  one.sum += Number(line[value])
  one.count++
}

// Whoever saw both, because the weights were edited meanwhile, or a tester's header was sent, tells nothing of either.
const whole = [...units.values()].filter((one) => one.variants.size === 1)
const of = (name: string) => groupOf(whole.filter((one) => one.variants.has(name)).map(({ sum, count }) => sum / count))
const [a, b] = [of(control.name), of(candidate.name)]
const { difference, low, high, p } = compare(a, b)
const fair = fairness([a.count, b.count], [control.weight, candidate.weight])

console.log(`${control.name}: ${a.count} ${unit}s, mean ${a.mean.toFixed(4)}`)
console.log(`${candidate.name}: ${b.count} ${unit}s, mean ${b.mean.toFixed(4)}`)
console.log(`${candidate.name} - ${control.name}: ${difference.toFixed(4)}, 95 % between ${low.toFixed(4)} and ${high.toFixed(4)}, p ${p.toFixed(4)}`)
if (units.size > whole.length) console.log(`left out: ${units.size - whole.length} ${unit}s that saw both`)
if (unmatched > 0) console.log(`left out: ${unmatched} outcomes without a request in the log`)
// Uneven groups mean that somebody was lost on the way (a version that fails for some, say): the means prove nothing then.
if (fair < 0.001) console.log(`the groups are not as the weights say (p ${fair.toFixed(4)}): find out why before you believe the means`)

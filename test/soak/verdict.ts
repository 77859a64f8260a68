import { explain, type Fault, type Outcome } from './faults.ts'

/** What a proxy holds while nothing is asked of it. */
export type Rest = Readonly<{ /** Hours since the first. */ at: number; /** MiB after collection. */ memory: number; descriptors: number }>

export type Report = Readonly<{
  minutes: number
  requests: Readonly<Record<string, Readonly<Record<Outcome['was'], number>>>>
  faults: Readonly<Record<string, number>>
  /** Failures by the fault that they are put down to. */
  explained: Readonly<Record<string, number>>
  wrong: readonly Outcome[]
  unexplained: readonly Outcome[]
  rests: readonly Rest[]
  /** MiB an hour, by the line through all rests but the first. */
  growth: number
  descriptors: readonly [first: number, last: number]
  problems: readonly string[]
}>

/** Of a run of hours; a shorter one tells less, by as much as a heap goes up and down. */
const growthMax = 1
const wholeHours = 1
/** MiB between the first and the last rest of a short run. */
const driftMax = 24
const descriptorsMax = 5
/** Share of the time in which the sender may stand still: what fails then tells nothing. */
const standstillMax = 0.05
/** That a report shows, of each. */
const shown = 20

/** Kept and counted as they come: of those that are as they should be only the number. */
export class Outcomes {
  readonly counts = new Map<string, Record<Outcome['was'], number>>()
  readonly bad: Outcome[] = []

  add(outcome: Outcome): void {
    const counts = this.counts.get(outcome.kind) ?? { right: 0, limited: 0, wrong: 0, failed: 0 }
    counts[outcome.was]++
    this.counts.set(outcome.kind, counts)
    if (outcome.was === 'wrong' || outcome.was === 'failed') this.bad.push(outcome)
  }
}

/** The slope of the line that fits best. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, value]) => value))]
  const across = points.reduce((sum, [at]) => sum + (at - x) ** 2, 0)
  return across === 0 ? 0 : points.reduce((sum, [at, value]) => sum + (at - x) * (value - y), 0) / across
}

export function judge(minutes: number, { counts, bad }: Outcomes, faults: readonly Fault[], rests: readonly Rest[]): Report {
  const explained: Record<string, number> = {}
  const unexplained: Outcome[] = []
  for (const outcome of bad) {
    if (outcome.was === 'wrong') continue
    const fault = explain(outcome, faults)
    if (fault === undefined) unexplained.push(outcome)
    else explained[fault.what] = (explained[fault.what] ?? 0) + 1
  }
  const wrong = bad.filter(({ was }) => was === 'wrong')
  // The first comes before everything has been used once.
  const settled = rests.length > 2 ? rests.slice(1) : rests
  const [first, last] = [settled[0], settled.at(-1)]
  const growth = slope(settled.map(({ at, memory }) => [at, memory]))
  const hours = (last?.at ?? 0) - (first?.at ?? 0)
  const drift = (last?.memory ?? 0) - (first?.memory ?? 0)
  const problems: string[] = []
  if (wrong.length > 0) problems.push(`${wrong.length} wrong answers`)
  if (unexplained.length > 0) problems.push(`${unexplained.length} failures that nothing explains`)
  if (hours >= wholeHours ? growth > growthMax : drift > driftMax) problems.push(`memory grew by ${drift.toFixed(1)} MiB, ${growth.toFixed(2)} an hour`)
  const descriptors = [first?.descriptors ?? 0, last?.descriptors ?? 0] as const
  if (Math.abs(descriptors[1] - descriptors[0]) > descriptorsMax) problems.push(`${descriptors[0]} descriptors became ${descriptors[1]}`)
  for (const [kind, { right }] of counts) if (right === 0) problems.push(`no request of ${kind} was answered`)
  const limited = counts.get('limited')
  if (limited?.limited === 0) problems.push('no request met its limit')
  const stood = faults.filter(({ what }) => what === 'standstill').reduce((sum, { from, to }) => sum + to - from, 0) / (minutes * 60_000)
  if (stood > standstillMax) problems.push(`the sender stood still for ${(stood * 100).toFixed(0)} % of the time`)
  const times = (what: string) => faults.filter((fault) => fault.what === what).length
  const done = Object.fromEntries([...new Set(faults.map(({ what }) => what))].map((what) => [what, times(what)]))
  return {
    minutes, requests: Object.fromEntries(counts), faults: done, explained, wrong: wrong.slice(0, shown), unexplained: unexplained.slice(0, shown),
    rests, growth, descriptors, problems,
  }
}

/** In Markdown, for people. */
export function written({ minutes, requests, faults, explained, rests, growth, descriptors, wrong, unexplained, problems }: Report): string {
  const all = Object.values(requests)
  const sum = (was: Outcome['was']) => all.reduce((total, counts) => total + counts[was], 0)
  const list = (counts: Readonly<Record<string, number>>) => Object.entries(counts).map(([what, count]) => `${what} ${count}`).join(', ') || 'none'
  return `# Soak of ${minutes.toFixed(0)} minutes: ${problems.length === 0 ? 'passed' : 'failed'}

${problems.map((problem) => `- ${problem}\n`).join('')}
| | |
| --- | --- |
| requests | ${sum('right') + sum('limited') + sum('wrong') + sum('failed')} |
| wrong answers | ${sum('wrong')} |
| failures that nothing explains | ${sum('failed') - Object.values(explained).reduce((total, count) => total + count, 0)} |
| failures explained, by what they are put down to | ${list(explained)} |
| what was done | ${list(faults)} |
| memory after collection, MiB | ${rests.map(({ memory }) => memory.toFixed(1)).join(', ')} |
| growth, MiB an hour | ${growth.toFixed(2)} |
| descriptors | ${descriptors.join(' → ')} |

| traffic | right | limited | wrong | failed |
| --- | --- | --- | --- | --- |
${Object.entries(requests).map(([kind, { right, limited, wrong: other, failed }]) => `| ${kind} | ${right} | ${limited} | ${other} | ${failed} |\n`).join('')}${[...wrong, ...unexplained].map((outcome) => `\n    ${JSON.stringify(outcome)}`).join('')}
`
}

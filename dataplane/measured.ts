import type { Measurements as Message } from '../table/messages.ts'
import type { RuleMeasurements } from '../table/delivery.ts'
import { sumOf, told } from '../table/measurements.ts'
import type { Measurements } from './telemetry/measurements.ts'

/** Tells what was counted, to every controller: each of them may be the one that decides. */
export type MeasuredReporter = Readonly<{ close(): Promise<void> }>

export type MeasuredReporterOptions = Readonly<{
  /** @param onlyNew leaves out the rules of which nothing was counted since the last time */
  take: (onlyNew: boolean) => RuleMeasurements[] | Promise<RuleMeasurements[]>
  tell: (message: Message) => void
  /** Milliseconds between two reports. */
  every?: number
}>

/**
 * So often all is told again, and not only what is new. Counts are of all that was since the start, so whatever a
 * controller missed (it was started, or its table came later than the proxy's) it has then.
 */
const wholeEvery = 10
/** Rules in one message, which is a line of bounded length. */
const perMessage = 100

export function reportMeasured({ take, tell, every = 1000 }: MeasuredReporterOptions): MeasuredReporter {
  let rounds = 0
  let busy: Promise<void> | undefined
  async function report(onlyNew: boolean): Promise<void> {
    const rules = await take(onlyNew)
    for (let i = 0; i < rules.length; i += perMessage) tell({ type: 'measurements', rules: rules.slice(i, i + perMessage) })
  }
  const timer = setInterval(() => {
    // Workers that are slow to answer are not asked again meanwhile.
    busy ??= report(++rounds % wholeEvery !== 0).finally(() => (busy = undefined))
  }, every)
  timer.unref()
  return {
    async close() {
      clearInterval(timer)
      await busy
      await report(true)
    },
  }
}

/** What one process tells the one that it is a worker of, each time that it is asked. */
type WorkerMeasured = Readonly<{ instance: string; rules: readonly RuleMeasurements[] }>

/** @param instance of the process, which another one that takes its place has not */
export function workerMeasured(measurements: Measurements, instance: string): () => WorkerMeasured {
  let rounds = 0
  return () => ({ instance, rules: measurements.take(++rounds % wholeEvery !== 0) })
}

function isMeasured(value: unknown): value is WorkerMeasured {
  return typeof value === 'object' && value !== null && 'instance' in value && 'rules' in value
}

/** Workers of one rule that are kept apart; of a longer line of them the oldest, which are gone, are one. */
const workersMax = 256

function foldOldest(byWorker: Map<string, RuleMeasurements>): void {
  const [first, second] = byWorker
  if (first === undefined || second === undefined) return
  const all = [first[1], second[1]].filter(({ id }) => id === second[1].id)
  byWorker.delete(first[0])
  byWorker.set(second[0], { ...second[1], variants: sumOf(all).map(({ variant, counts }) => told(variant, counts)) })
}

const keyOf = ({ route, rule }: RuleMeasurements) => `${route}\n${rule}`

/**
 * Adds up what the workers of one proxy counted. What one had counted that is gone stays in the sum.
 * @param watched the rules of the table in force; the counts in it are none, since the process serves nothing
 */
export function createMeasuredSum(watched: Measurements, ask: () => Promise<readonly unknown[]>): MeasuredReporterOptions['take'] {
  /** By rule, then by worker: what it told last. */
  const held = new Map<string, Map<string, RuleMeasurements>>()
  return async (onlyNew) => {
    const answers = await ask()
    const current = new Map(watched.take(false).map((rule) => [keyOf(rule), rule]))
    for (const key of held.keys()) if (!current.has(key)) held.delete(key)
    const fresh = new Set<string>()
    for (const { instance, rules } of answers.filter(isMeasured)) {
      for (const rule of rules) {
        const key = keyOf(rule)
        if (current.get(key)?.id !== rule.id) continue
        const byWorker = held.get(key) ?? new Map<string, RuleMeasurements>()
        held.set(key, byWorker)
        byWorker.set(instance, rule)
        if (byWorker.size > workersMax) foldOldest(byWorker)
        fresh.add(key)
      }
    }
    return [...held].flatMap(([key, byWorker]) => {
      const rule = current.get(key)
      if (rule === undefined || (onlyNew && !fresh.has(key))) return []
      const all = [...byWorker.values()].filter(({ id }) => id === rule.id)
      return { ...rule, variants: sumOf(all).map(({ variant, counts }) => told(variant, counts)) }
    })
  }
}

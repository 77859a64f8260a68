import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Take } from '../../dataplane/limits/limiter.ts'
import type { Came, Job } from './fixtures/taker.ts'

export type Takers = Readonly<{
  /** Each that waits for an outage has decided without the store. */
  away: Promise<unknown>
  came: Promise<readonly Came[]>
  kill(): void
  end(): Promise<void>
}>

/** Several proxies that begin to take at the same moment, so long after the last of them is there. */
export async function startTakers(jobs: readonly Job[], after = 0): Promise<Takers> {
  const takers = await Promise.all(jobs.map(async (job) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures/taker.ts'), JSON.stringify(job)], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    await lines.next()
    return { child, lines, ended }
  }))
  await new Promise((resolve) => setTimeout(resolve, after))
  for (const { child } of takers) child.stdin.write('go\n')
  const away = Promise.all(takers.map(async ({ lines }, i) => (jobs[i]?.outage === undefined ? undefined : lines.next())))
  return {
    away,
    came: Promise.all(takers.map(async ({ lines }) => {
      await away
      return JSON.parse((await lines.next()).value ?? '{}') as Came
    })),
    kill: () => takers.forEach(({ child }) => child.kill('SIGKILL')),
    async end() {
      for (const { child } of takers) child.stdin.end()
      await Promise.all(takers.map(({ ended }) => ended))
    },
  }
}

/** Three proxies of 200 connections each. @returns how many were admitted in all, and how many were decided where */
export async function three(job: Omit<Job, 'connections'>): Promise<Came> {
  const takers = await startTakers([job, job, job].map((each) => ({ ...each, connections: 200 })))
  const came = await takers.came
  await takers.end()
  return came.reduce((sum, each) => ({
    admitted: sum.admitted + each.admitted,
    before: sum.before + each.before,
    refused: sum.refused + each.refused,
    most: sum.most + each.most,
    by: Object.fromEntries([...new Set([...Object.keys(sum.by), ...Object.keys(each.by)])].map((key) => [key, (sum.by[key] ?? 0) + (each.by[key] ?? 0)])),
  }))
}

const hour = 3_600_000
/** Every algorithm, so slow that nothing comes back during a test. */
export const algorithms: readonly Take['algorithm'][] = [
  { type: 'FixedWindow', window: 'month' }, { type: 'SlidingWindow', window: 'month' }, { type: 'SlidingLog', window: hour },
  { type: 'TokenBucket', window: 'month', burst: 999 }, { type: 'Concurrency' },
]

/** A limit of 1,000 in all. */
export const thousand = (algorithm: Take['algorithm'], name: string, more: Partial<Take> = {}): Take => ({
  key: `ml/tiers/${name} ${algorithm.type}`, algorithm, amount: algorithm.type === 'TokenBucket' ? 1 : 1000, units: 1,
  hold: algorithm.type === 'Concurrency', scope: 'Global', shadow: false, onStoreFailure: 'Deny', ...more,
})

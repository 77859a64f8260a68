import type { Member } from '../pick/pick.ts'
import { Load } from './load.ts'
import { readMetrics } from './metrics_text.ts'

/** Milliseconds between two questions to an endpoint; each is up to a tenth earlier or later, so that they do not meet. */
const askEvery = 1000
const jitter = 0.1
/** How often it is looked whose turn it is. */
const lookEvery = 100
/** A rule that nobody calls asks nobody. */
const idleAfter = 30_000
/** Bounds of what asking costs us, however many there are to ask: of many, each is asked less often. */
const perSecondMax = 200
const atOnceMax = 32
/** One that tells nothing is asked half as often each time, down to this. */
const askAtLeastEvery = 60_000

export type Reporting = Member & { load: Load | undefined }
type Endpoints<M> = Readonly<{ members: readonly M[] }>
type Plan = { dueAt: number; busy: boolean; silent: number }

export type Reports<M extends Reporting> = Readonly<{
  /** A request is about to be given to one of these: what they have to do is worth knowing. */
  follow(group: Endpoints<M>): void
  close(): void
}>

export type ReportsDeps<M extends Reporting> = Readonly<{
  /** The page of metrics of an endpoint; undefined: it gives none. */
  page(member: M): Promise<string | undefined>
  clock?: () => number
  random?: () => number
}>

/**
 * Asks the endpoints of groups that are in use what they have to do, once for all rules that lead there. Requests never
 * wait for it: they are given where the last reports say.
 */
export function createReports<M extends Reporting>({ page, clock = () => performance.now(), random = Math.random }: ReportsDeps<M>): Reports<M> {
  /** When they were last used. */
  const groups = new Map<Endpoints<M>, number>()
  const plans = new WeakMap<M, Plan>()
  let atOnce = 0
  let timer: NodeJS.Timeout | undefined

  function look(): void {
    const now = clock()
    let count = 0
    for (const [group, usedAt] of groups) {
      if (now - usedAt > idleAfter) groups.delete(group)
      // Of one there is nothing to choose.
      else if (group.members.length > 1) count += group.members.length
    }
    if (groups.size === 0) {
      clearInterval(timer)
      timer = undefined
      return
    }
    const pace = Math.max(1, count / perSecondMax)
    for (const { members } of groups.keys()) {
      if (members.length < 2) continue
      for (const member of members) {
        if (atOnce >= atOnceMax) return
        const plan = planOf(member, now)
        if (!plan.busy && plan.dueAt <= now) void ask(member, plan, pace)
      }
    }
  }

  function planOf(member: M, now: number): Plan {
    let plan = plans.get(member)
    if (plan === undefined) {
      plan = { dueAt: now, busy: false, silent: 0 }
      plans.set(member, plan)
    }
    return plan
  }

  async function ask(member: M, plan: Plan, pace: number): Promise<void> {
    plan.busy = true
    atOnce++
    const text = await page(member)
    atOnce--
    plan.busy = false
    const now = clock()
    const report = text === undefined ? undefined : readMetrics(text)
    plan.silent = report === undefined ? plan.silent + 1 : 0
    plan.dueAt = now + Math.min(askAtLeastEvery, askEvery * pace * 2 ** plan.silent) * (1 - jitter + 2 * jitter * random())
    if (report === undefined) return
    member.load ??= new Load()
    member.load.report(report, member.inFlight, now, pace)
  }

  return {
    follow(group) {
      groups.set(group, clock())
      timer ??= setInterval(look, lookEvery).unref()
    },
    close() {
      clearInterval(timer)
      groups.clear()
    },
  }
}

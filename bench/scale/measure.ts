import { setTimeout as pause } from 'node:timers/promises'
import { cpuOf, rssOf } from '../processes.ts'
import { churn } from './churn.ts'
import { edits } from './edits.ts'
import { now } from './messages.ts'
import { markdown, of, type Line } from './report.ts'
import { keepSeed, quiet, startRig, type Rig } from './rig.ts'
import { makeRoutes } from './world.ts'

export const parts = ['growth', 'start', 'idle', 'churn', 'many', 'manychurn', 'console', 'proxy'] as const

export type Plan = Readonly<{ routes: number; proxies: number; edits: number; parts: readonly string[]; controllerFlags: readonly string[] }>

const few = 10

/** Answers whether every line is held. */
export async function measureScale(plan: Plan): Promise<boolean> {
  const has = (part: (typeof parts)[number]) => plan.parts.includes(part)
  const lines: Line[] = []
  const note = (line: Line): void => {
    lines.push(line)
    process.stderr.write(`${line.what}: ${line.found} (${line.line})\n`)
  }
  if (has('growth')) await growth(plan, note)
  const rig = await startRig(plan.controllerFlags, plan.routes)
  const { fleet } = rig
  const made = plan.routes
  const begun = now()
  await makeRoutes(rig.cluster, rig.made, made)
  rig.startController()
  await quiet(rig)
  if (rig.made === 0) {
    // What it is kept with are statuses that tell of as many proxies: to write those of thousands of routes takes minutes.
    await fleet.dial(few)
    await quiet(rig, { written: true })
    await fleet.hangUp()
    await rig.controller().stop()
    await keepSeed(rig, made)
    rig.startController()
    await quiet(rig)
  }
  process.stderr.write(`${made} routes after ${((now() - begun) / 1000).toFixed(0)} s\n`)
  if (has('growth')) await among(rig, made, plan, note)

  if (has('start')) {
    await rig.controller().stop()
    const from = now()
    const whole = fleet.dial(few)
    rig.startController()
    const { first, last } = await whole
    note({ what: `cold start to the first push (to ${few} proxies)`, found: `${seconds(first - from)} (${seconds(last - from)})`, line: '≤ 5 s', held: first - from <= 5000 })
    await quiet(rig)
  } else {
    await fleet.dial(few)
  }

  const measured = async (name: string, proxies: number, limit: number | undefined, count: number): Promise<void> => {
    const cpu = await cpuOf(rig.controller().pid)
    const [at, before] = [now(), await fleet.sums()]
    const found = await edits(rig, { count, of: made })
    const used = (await cpuOf(rig.controller().pid) - cpu) / 1000 / (now() - at)
    const after = await fleet.sums()
    const p99 = of(found.acknowledged, 0.99)
    note({
      what: `edit → acknowledged by all of ${proxies} proxies, ${name}`, line: limit === undefined ? '' : `p99 ≤ ${limit} ms`, held: limit === undefined || p99 <= limit,
      found: `p50 ${of(found.acknowledged, 0.5)}, p99 ${p99} ms (from the answer of the API server: ${of(found.answered, 0.5)}, ${of(found.answered, 0.99)} ms)`,
    })
    const rss = await rssOf(rig.controller().pid)
    note({ what: `controller meanwhile`, found: `${used.toFixed(2)} cores, ${rss.toFixed(0)} MiB; ${found.statuses.toFixed(1)} statuses written an edit`, line: '≤ 1 core, ≤ 400 MiB', held: used <= 1 && rss <= 400 })
    if (name === 'idle') {
      const worst = Math.max(...found.bytes.map(({ bytes, item }) => bytes / item))
      const wire = (after.wireBytes - before.wireBytes) / count
      note({
        what: 'bytes for one edit ÷ the edited route', line: '≤ 2', held: worst <= 2,
        found: `${worst.toFixed(2)} (${found.bytes[0]?.bytes} of ${found.bytes[0]?.item} bytes; with frames, TLS and pings ${wire.toFixed(0)})`,
      })
      note({ what: 'whole tables sent meanwhile', found: `${after.snapshots - before.snapshots}`, line: '0', held: after.snapshots === before.snapshots })
    }
  }
  const under = async (proxies: number, limit: number | undefined, count: number): Promise<void> => {
    const stop = churn(rig, made)
    await pause(2000)
    await measured('100 endpoint changes/s', proxies, limit, count)
    note({ what: 'endpoint changes made meanwhile', found: `${(await stop()).toFixed(0)}/s`, line: '' })
    await quiet(rig)
  }

  if (has('idle')) {
    await quiet(rig, { written: true })
    await measured('idle', few, 50, plan.edits)
  }
  if (has('churn')) await under(few, 250, plan.edits)
  if (has('many') || has('manychurn') || has('console')) {
    await fleet.hangUp()
    const { first, last } = await fleet.dial(plan.proxies)
    note({ what: `${plan.proxies} proxies at once, until all have the whole table`, found: `${seconds(last - first)} after the first, controller ${(await rssOf(rig.controller().pid)).toFixed(0)} MiB`, line: '' })
    await quiet(rig)
    if (has('many')) {
      // They have just come, and every status says how many there are.
      await measured('while that is written into all statuses', plan.proxies, undefined, plan.edits / 2)
      await quiet(rig, { written: true })
      await measured('idle', plan.proxies, 250, plan.edits)
    }
    if (has('manychurn')) await under(plan.proxies, undefined, plan.edits / 2)
    if (has('console')) await looks(rig, note)
  }
  await fleet.hangUp()
  if (has('proxy')) await realProxies(rig, made, note)
  process.stdout.write(markdown(lines))
  return lines.every(({ held }) => held !== false)
}

type Note = (line: Line) => void

/** In a cluster of its own: what an edit costs where there are few. */
async function growth(plan: Plan, note: Note): Promise<void> {
  const rig = await startRig(plan.controllerFlags)
  rig.startController()
  let made = 0
  for (const size of [1, 100]) {
    await makeRoutes(rig.cluster, made, size)
    made = size
    await quiet(rig)
    await among(rig, size, plan, note)
  }
  await rig.close()
}

async function among(rig: Rig, routes: number, plan: Plan, note: Note): Promise<void> {
  await rig.fleet.dial(few)
  await quiet(rig, { written: true })
  await edits(rig, { count: 10, of: routes })
  const cost = await edits(rig, { count: plan.edits / 2, of: routes })
  await rig.fleet.hangUp()
  note({
    what: `an edit among ${routes} routes, ${few} proxies`, line: 'flat',
    found: `p50 ${of(cost.acknowledged, 0.5)} ms, p99 ${of(cost.acknowledged, 0.99)} ms, controller ${cost.cpu.toFixed(1)} ms of CPU, ${cost.statuses.toFixed(1)} statuses written`,
  })
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`

/** Somebody has the fleet's page open: it asks each second. */
async function looks(rig: Rig, note: Note): Promise<void> {
  for (const view of ['traffic', 'endpoints', 'table']) {
    const look = async (): Promise<number> => {
      const from = now()
      const answer = await fetch(`${rig.control}/console/state?view=${view}`)
      if (!answer.ok) throw new Error(await answer.text())
      await answer.text()
      return now() - from
    }
    await look()
    await pause(1000)
    const cpu = await cpuOf(rig.controller().pid)
    const times: number[] = []
    for (let i = 0; i < 5; i++) {
      times.push(await look())
      await pause(1000)
    }
    const each = (await cpuOf(rig.controller().pid) - cpu) / 1000 / times.length
    note({ what: `the fleet's console, ${view}`, found: `p50 ${of(times, 0.5)} ms a look, controller ${each.toFixed(0)} ms of CPU each`, line: '' })
  }
}

/** Two proxies as they are: one of a fleet that has no routes, and one with all of them. */
async function realProxies(rig: Rig, routes: number, note: Note): Promise<void> {
  const empty = await rig.startProxy('empty', 'nobody')
  const full = await rig.startProxy('full', 'default')
  await pause(3000)
  const [before, first] = [await empty.seen(), await full.seen()]
  const [emptyRss, fullRss] = [await rssOf(empty.program.pid), await rssOf(full.program.pid)]
  const heap = first.heap - before.heap
  note({ what: `proxy: table of ${routes} routes, heap above an empty one`, found: `${heap.toFixed(0)} MiB (resident ${fullRss.toFixed(0)} above ${emptyRss.toFixed(0)})`, line: '≤ 60 MiB', held: heap <= 60 })
  note({ what: 'proxy: the first table stalls its loop', found: `${first.most.toFixed(1)} ms`, line: '' })
  await edits(rig, { count: 30, of: routes, real: true })
  await pause(1000)
  const { most } = await full.seen()
  note({ what: 'proxy: the swap for an edit stalls its loop at most', found: `${most.toFixed(1)} ms`, line: '≤ 10 ms', held: most <= 10 })
  const stop = churn(rig, routes)
  await pause(10_000)
  await stop()
  const churned = await full.seen()
  note({ what: 'proxy: 100 endpoint changes/s stall its loop at most', found: `${churned.most.toFixed(1)} ms`, line: '≤ 10 ms', held: churned.most <= 10 })
  await Promise.all([empty.program.stop(), full.program.stop()])
}

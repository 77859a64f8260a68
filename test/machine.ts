import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { percentile } from './load.ts'
import { wallClock } from './wall.ts'

/**
 * Claims about time on a machine that may do much else. Noise only ever makes a time longer: what is met is met, and what
 * is missed counts against the product only where the machine was calm meanwhile. Where it never was, nothing has been
 * shown, and that is told; figures are for bench/.
 */

/** What a machine did while something was measured. */
export type Machine = Readonly<{
  /** Share of its processors, 0…1, that went to neither this process nor what it started: other programs, other guests of the host. */
  others: number
  /** Milliseconds by which a timer of this process came late: 99 of 100, and the worst. */
  late: number
  longest: number
}>

const calmest: Machine = { others: 0.1, late: 20, longest: 250 }
const isCalm = ({ others, late, longest }: Machine) => others <= calmest.others && late <= calmest.late && longest <= calmest.longest
const toldOf = (machine: Machine) =>
  `others had ${(machine.others * 100).toFixed(0)} % of the machine, timers came ${machine.late.toFixed(0)} ms late, ${machine.longest.toFixed(0)} at worst`

/** Milliseconds. */
const every = 5

/** Begins to watch. @returns what ends it */
export function watchMachine(): () => Machine {
  const before = processorTimes()
  const late: number[] = []
  let last = wallClock()
  const look = () => {
    const now = wallClock()
    late.push(Math.max(0, now - last - every))
    last = now
  }
  const timer = setInterval(look, every).unref()
  return () => {
    clearInterval(timer)
    look()
    const after = processorTimes()
    const all = after.all - before.all
    const others = after.busy - before.busy - (after.own - before.own)
    return { others: all > 0 ? Math.max(0, others / all) : 0, late: percentile(late, 0.99), longest: late.reduce((a, b) => Math.max(a, b), 0) }
  }
}

/**
 * Ticks of the kernel's clock since it started (proc(5)): of all processors, those that were not idle, and those of this
 * process with all below it. Nothing where there is no /proc: then only timers tell.
 */
function processorTimes(): Readonly<{ all: number; busy: number; own: number }> {
  let names: string[]
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    return { all: 0, busy: 0, own: 0 }
  }
  const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, soft = 0, stolen = 0] =
    (/^cpu +(?<numbers>.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.groups?.['numbers'] ?? '').split(' ').map(Number)
  const busy = user + nice + system + irq + soft + stolen
  const children = new Map<number, { pid: number; spent: number }[]>()
  let own = 0
  for (const name of names) {
    const stat = statOf(name)
    if (stat === undefined) continue
    if (stat.pid === process.pid) own = stat.spent
    else children.set(stat.parent, [...children.get(stat.parent) ?? [], stat])
  }
  const below = (pid: number): number => (children.get(pid) ?? []).reduce((sum, child) => sum + child.spent + below(child.pid), 0)
  return { all: busy + idle + waiting, busy, own: own + below(process.pid) }
}

/** `spent`: by itself, and by those that it started and saw end. */
function statOf(name: string): Readonly<{ pid: number; parent: number; spent: number }> | undefined {
  try {
    const text = readFileSync(`/proc/${name}/stat`, 'utf8')
    // After the name of the program, which may have anything in it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ').map(Number)
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15)
    return { pid: Number(name), parent: fields[1] ?? 0, spent: utime + stime + cutime + cstime }
  } catch {
    return undefined
  }
}

export type Claim<Found> = Readonly<{
  /** One window of it, with whatever it is compared with. */
  measure: () => Promise<Found>
  /** What is wrong with that; undefined: it holds. */
  fault: (found: Found) => string | undefined
  /** Windows at most. */
  windows?: number
}>

/** So many calm windows in which it did not hold are a fault. */
const enough = 2

/** Measures until the claim holds, or calm windows have shown that it does not. */
export async function holds<Found>(t: Pick<TestContext, 'diagnostic'>, { measure, fault, windows = 3 }: Claim<Found>, watch = watchMachine): Promise<void> {
  const seen: string[] = []
  let calm = 0
  for (let window = 0; window < windows && calm < enough; window++) {
    const end = watch()
    const found = await measure()
    const machine = end()
    const why = fault(found)
    if (why === undefined) return
    seen.push(`${why} (${toldOf(machine)})`)
    if (isCalm(machine)) calm++
  }
  assert.ok(calm < enough, seen.join('; '))
  t.diagnostic(`not shown on this machine: ${seen.join('; ')}`)
}

/** The same of something that is seen once: it counts against the product where the machine was calm meanwhile. */
export function counts(t: Pick<TestContext, 'diagnostic'>, fault: string, machine: Machine): void {
  const why = `${fault} (${toldOf(machine)})`
  assert.ok(!isCalm(machine), why)
  t.diagnostic(`not shown on this machine: ${why}`)
}

/**
 * The same of a time between two processes, each of which is held up now and then.
 * @param machine what it did meanwhile
 */
export function inTime(t: Pick<TestContext, 'diagnostic'>, what: string, took: number, most: number, machine: Machine): void {
  if (took > most + 2 * machine.longest) counts(t, `${what}: ${took.toFixed(0)} ms, and at most ${most}`, machine)
}

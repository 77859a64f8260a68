import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { ensureBinaries } from '../cluster/build.ts'
import { bridgeAddress, inNamespace } from '../cluster/netns.ts'
import { pause, until } from '../cluster/wait.ts'
import { watchMachine } from '../machine.ts'
import { ensurePackage } from '../servers/debian.ts'
import { makeTrouble } from './chaos.ts'
import type { Fault } from './faults.ts'
import { Traffic } from './traffic.ts'
import { judge, Outcomes, written, type Rest } from './verdict.ts'
import { startWorld, type World } from './world.ts'

/**
 * `npm run soak -- [--minutes 120] [--rate 60] [--report FILE]`: mixed traffic while one part after the other is killed
 * (docs/soak.md). The report is Markdown, or JSON where FILE ends so. Needs Linux and root, for a network of its own.
 */

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '120' }, rate: { type: 'string', default: '60' }, report: { type: 'string' } } })
const [minutes, rate] = [Number(values.minutes), Number(values.rate)]
if (!(minutes > 0) || !(rate > 0)) throw new Error('--minutes and --rate are numbers above 0')

/** With what is needed and cannot be had from within. */
async function inside(): Promise<number> {
  await ensurePackage('/usr/bin/redis-server', 'redis-server')
  await ensurePackage('/usr/sbin/iptables-legacy', 'iptables')
  const binaries = await ensureBinaries()
  if ('missing' in binaries) throw new Error(binaries.missing)
  const [command, ...args] = inNamespace([process.execPath, import.meta.filename, ...process.argv.slice(2)])
  return spawnSync(command, args, { stdio: 'inherit' }).status ?? 1
}

/** What the first proxy holds while nothing is asked of it. */
async function restOf({ proxies: [proxy] }: World, began: number): Promise<Rest> {
  if (proxy?.pid === undefined) throw new Error(`the first proxy has ended: ${proxy?.tail()}`)
  const descriptors = () => readdirSync(`/proc/${proxy.pid}/fd`).length
  // Connections that are kept for the next request end after four seconds; later where the machine is busy.
  let [before, same] = [descriptors(), 0]
  for (let seconds = 0; seconds < 60 && (seconds < 7 || same < 5); seconds++) {
    await pause(1000)
    const now = descriptors()
    same = now === before ? same + 1 : 0
    before = now
  }
  const said = () => readFileSync(proxy.log, 'utf8').split('\n').filter((line) => line.startsWith('{"soak":'))
  const earlier = said().length
  process.kill(proxy.pid, 'SIGUSR2')
  await until('what the proxy holds', () => said().length > earlier, { timeout: 60_000 })
  const { heapUsed, external } = JSON.parse(said().at(-1) ?? '{}') as { heapUsed: number; external: number }
  const rest = { at: (performance.now() - began) / 3_600_000, memory: (heapUsed + external) / 1_048_576, descriptors: descriptors() }
  console.log(`at rest: ${rest.memory.toFixed(1)} MiB, ${rest.descriptors} descriptors`)
  return rest
}

/** Milliseconds of a look at the machine, and what is much of it: for others, of 1, and for a timer to be late, milliseconds. */
const look = 1000
const [othersMuch, lateMuch] = [0.25, 100]
/** So late a timer is that of somebody who stood still. Milliseconds. */
const stood = 1000

/** Writes down when the machine was busy with something else. @returns ends it */
function watch(faults: Fault[]): () => void {
  let [end, from] = [watchMachine(), performance.now()]
  const timer = setInterval(() => {
    const [{ others, longest }, to] = [end(), performance.now()]
    if (others > othersMuch || longest > lateMuch) {
      const what = longest > stood ? 'standstill' : 'machine'
      const last = faults.findLast((fault) => fault.what === what)
      if (last?.to === from) last.to = to
      else faults.push({ what, target: 0, from, to })
    }
    [end, from] = [watchMachine(), to]
  }, look)
  return () => {
    clearInterval(timer)
    end()
  }
}

async function soak(): Promise<number> {
  const world = await startWorld()
  const outcomes = new Outcomes()
  const faults: Fault[] = []
  const rests: Rest[] = []
  const began = performance.now()
  const unwatch = watch(faults)
  try {
    const traffic = new Traffic(world.urls, outcomes)
    const parts = Math.max(3, Math.min(12, Math.round(minutes / 2.5)))
    const trouble = { lasts: minutes < 5 ? 2000 : 4000, rests: minutes < 5 ? 3000 : 6000 }
    for (let part = 0; part < parts; part++) {
      traffic.start(rate)
      const end = makeTrouble(world, faults, trouble)
      const until = began + (part + 1) * minutes * 60_000 / parts
      for (let edit = 0; performance.now() < until; edit++) {
        // Without an API server nobody can edit, and what is in force stays so.
        await world.split([20, 50, 80][edit % 3] ?? 20).catch(() => {})
        await pause(Math.min(5000, Math.max(100, until - performance.now())))
      }
      await end()
      await traffic.pause()
      rests.push(await restOf(world, began))
    }
  } finally {
    unwatch()
    await world.stop()
  }
  const report = judge((performance.now() - began) / 60_000, outcomes, faults, rests)
  const text = written(report)
  if (values.report !== undefined) writeFileSync(values.report, values.report.endsWith('.json') ? `${JSON.stringify(report, undefined, 2)}\n` : text)
  console.log(text)
  // As the other steps of the checks count.
  console.log(`ℹ pass ${report.problems.length === 0 ? 1 : 0}\nℹ fail ${report.problems.length === 0 ? 0 : 1}`)
  return report.problems.length === 0 ? 0 : 1
}

process.exitCode = bridgeAddress() === undefined ? await inside() : await soak()

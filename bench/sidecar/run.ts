import { availableParallelism, cpus, tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeCgroup } from '../cgroup.ts'
import { forget, unshared } from '../cold.ts'
import { median } from '../report.ts'
import { ofLimits } from './limits.ts'
import { startProbe, type How } from './probe.ts'
import { startRig, type Rig } from './rig.ts'

/**
 * `npm run bench:sidecar [-- ROUNDS]`: what a sidecar takes while nothing happens, and how long until it is ready, of the
 * compiled package: client and server, with nothing compiled before (as in a container that was just made) and with it, and
 * with nothing of Node in memory, as the first one on its machine. Then in how little memory a server starts and serves. What
 * needs memory cgroups (Linux and, mostly, root) is left out where none can be made.
 */
const rounds = Number(process.argv[2] ?? 5)
/** Milliseconds in which V8 gives back what the start left behind. */
const settle = 5_000

async function probe(rig: Rig, how: How) {
  const one = await startProbe(rig, how)
  try {
    if (one.ready === undefined) throw new Error('it did not start')
    await sleep(settle)
    const { usage, workingSet } = one.charged() ?? { usage: Number.NaN, workingSet: Number.NaN }
    return { ready: one.ready, cpu: one.cpu, ...one.resident(), usage, workingSet }
  } finally {
    await one.end()
  }
}

const columns = ['rss', 'pss', 'own', 'usage', 'workingSet'] as const
const number = (value: number, digits: number) => Number.isNaN(value) ? 'no cgroup' : value.toFixed(digits)

const rig = await startRig()
try {
  const node = unshared(process.execPath, rig.at('node'))
  const canForget = forget(node)
  const cgroup = makeCgroup()
  await cgroup?.remove()
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node ${process.version}; medians of ${rounds}\n`)
  if (!canForget) console.log(`What is in memory of ${tmpdir()} cannot be given up, with TMPDIR on a disk and GNU dd it can: no sidecar is the first on its machine.\n`)
  if (cgroup === undefined) console.log('No memory cgroup can be made here: what a pod is charged is not measured, nor what limits do.\n')
  console.log('| sidecar | ready ms | at best | CPU ms until then | RSS MiB | PSS MiB | its own MiB | charged MiB | working set MiB |\n| --- |' + ' ---: |'.repeat(8))
  for (const mode of ['client', 'server'] as const) {
    for (const situation of ['first start', 'compiled before', ...canForget ? ['first on its machine'] : []]) {
      const kept = situation === 'compiled before'
      const first = situation === 'first on its machine'
      const one = async (round: number) => {
        if (first) forget(node)
        return await probe(rig, { mode, node: first ? node : process.execPath, compiled: rig.at(kept ? 'compiled' : `new-${mode}-${situation}-${round}`) })
      }
      // What was compiled is written some seconds after a start.
      if (kept) await one(0)
      const probes: Awaited<ReturnType<typeof probe>>[] = []
      for (let round = 0; round < rounds; round++) probes.push(await one(round))
      const all = (key: keyof (typeof probes)[number]) => probes.map((each) => each[key])
      const cells = [median(all('ready')).toFixed(0), Math.min(...all('ready')).toFixed(0), median(all('cpu')).toFixed(0), ...columns.map((key) => number(median(all(key)), 1))]
      console.log(`| ${mode}, ${situation} | ${cells.join(' | ')} |`)
    }
  }
  if (canForget && cgroup !== undefined) {
    console.log('')
    for await (const line of ofLimits(rig, node, rounds)) console.log(line)
  }
} finally {
  await rig.end()
}

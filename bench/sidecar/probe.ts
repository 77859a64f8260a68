import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeCgroup, type Charged } from '../cgroup.ts'
import { cpuOf, proxyCore, said, start } from '../processes.ts'
import type { Listening, Rig } from './rig.ts'

export type How = Readonly<{
  mode: keyof Rig['modes']
  /** The program of Node. */
  node: string
  /** The folder of what is compiled. */
  compiled: string
  /** What it may be charged at most, in MiB. */
  limit?: number
}>

/** A sidecar that runs, in a memory cgroup of its own where one can be made. */
export type Probe = Readonly<{
  /** Milliseconds from its start; of one that was not within `patience`, or ended before, undefined. */
  ready: number | undefined
  /** Milliseconds of a core that it took until then. */
  cpu: number
  /** Where a server takes requests. */
  url: string
  charged(): Charged | undefined
  /** In MiB. */
  resident(): Readonly<Record<'rss' | 'pss' | 'own', number>>
  end(): Promise<void>
}>

const patience = 10_000

export async function startProbe(rig: Rig, { mode, node, compiled, limit }: How): Promise<Probe> {
  const cgroup = makeCgroup(limit)
  const began = performance.now()
  const sidecar = start(proxyCore, [...cgroup?.enter ?? [], node, rig.program, ...rig.modes[mode]], { XDG_CACHE_HOME: compiled })
  const { child, pid } = sidecar
  const ended = once(child, 'exit')
  const over = AbortSignal.timeout(patience)
  const listening = async (wanted: string) => (await said<Listening>(sidecar, ({ name }) => name === wanted))?.url ?? ''
  async function untilReady(): Promise<number | undefined> {
    const health = await Promise.race([listening('health'), once(over, 'abort').then(() => '')])
    if (health === '') return undefined
    while (!over.aborted && child.exitCode === null && child.signalCode === null) {
      if (await fetch(`${health}/readyz`, { signal: over }).then(({ ok }) => ok, () => false)) return performance.now() - began
      await sleep(5)
    }
    return undefined
  }
  const ready = await untilReady()
  // What else runs on the machine makes a start longer, and not this.
  const cpu = await cpuOf(pid) / 1000
  const url = ready === undefined ? '' : await listening('http')
  sidecar.discard()
  return {
    ready, cpu, url,
    charged: () => cgroup?.charged(),
    resident() {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
      const of = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)?.[1]) / 1024
      return { rss: of('Rss'), pss: of('Pss'), own: of('Anonymous') }
    },
    async end() {
      // One that is short of memory comes to its end as slowly as to everything.
      child.kill(ready === undefined ? 'SIGKILL' : 'SIGTERM')
      await ended
      await cgroup?.remove()
    },
  }
}

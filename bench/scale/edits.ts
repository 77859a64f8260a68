import { setTimeout as pause } from 'node:timers/promises'
import type { KubeObject } from '../../test/cluster/api.ts'
import { cpuOf } from '../processes.ts'
import { now } from './messages.ts'
import { metricsOf, type Rig } from './rig.ts'
import { idOf, routePath } from './world.ts'

export type Edited = Readonly<{
  /** Milliseconds from the moment that an edit is sent to the API server, and from its answer, to the last acknowledgement. */
  acknowledged: readonly number[]
  answered: readonly number[]
  /** Of the update that carried it, and of the route in it. */
  bytes: readonly Readonly<{ bytes: number; item: number }>[]
  /** Of the controller, an edit: milliseconds, and statuses that it wrote, of that route and of others. */
  cpu: number
  statuses: number
}>

/** None twice: what changes nothing is no edit. */
let weight = 1000

/** Edits routes one after the other, at no fixed beat. `real`: nobody is awaited but the API server. */
export async function edits(rig: Rig, { count, of, real = false }: Readonly<{ count: number; of: number; real?: boolean }>): Promise<Edited> {
  const acknowledged: number[] = []
  const answered: number[] = []
  const bytes: { bytes: number; item: number }[] = []
  const written = await statusesOf(rig)
  const before = await cpuOf(rig.controller().pid)
  for (let i = 0; i < count; i++) {
    const index = (i * 37 + 11) % of
    weight++
    const path = '/spec/rules/0/backendRefs/0/weight'
    const sent = now()
    const route = await rig.cluster.api.patch<KubeObject & { metadata: { generation: number } }>(routePath(index), [{ op: 'replace', path, value: weight }], 'json')
    const taken = now()
    if (!real) {
      const last = await rig.fleet.acknowledged(idOf(index), route.metadata.generation)
      acknowledged.push(last.at - sent)
      answered.push(last.at - taken)
      bytes.push(last)
    }
    await pause(40 + Math.random() * 60)
  }
  const cpu = (await cpuOf(rig.controller().pid) - before) / 1000 / count
  return { acknowledged, answered, bytes, cpu, statuses: (await statusesOf(rig) - written) / count }
}

/** Written so far. */
async function statusesOf(rig: Rig): Promise<number> {
  const rows = [...await metricsOf(rig)].filter(([name]) => name.startsWith('modelroute_kubernetes_requests_total{verb="patch",resource="modelroutes"'))
  return rows.reduce((sum, [, value]) => sum + value, 0)
}

import { labelText, type Family, type Sample } from '../../exposition/family.ts'
import type { Compiled } from '../compile/compiled.ts'
import type { Observed } from '../modes/mode.ts'

const states = ['following', 'reading', 'absent', 'failing'] as const

type Latest = Readonly<{ compiled: Pick<Compiled, 'routes' | 'policies'> }>

/** What became of the resources, how they are followed, and what is to be written back. */
export function resourceFamilies(latest: () => Latest | undefined, observed: () => Observed): Family[] {
  const family = (type: 'counter' | 'gauge', name: string, help: string, labels: readonly string[], rows: () => Iterable<readonly [values: readonly string[], value: number]>): Family => ({
    name, help, type, labels,
    * rows(): Generator<Sample> {
      for (const [values, value] of rows()) yield { labels: labelText(labels, values), value }
    },
  })
  return [
    family('gauge', 'modelroute_resources', 'ModelRoutes and RateLimitPolicies by state: accepted, partial (some rules of a route are not in force), refused.', ['kind', 'state'],
      function* () {
        const last = latest()
        if (last === undefined) return
        for (const [kind, outcomes] of [['ModelRoute', last.compiled.routes], ['RateLimitPolicy', last.compiled.policies]] as const) {
          const counts = { accepted: 0, partial: 0, refused: 0 }
          for (const outcome of outcomes.values()) counts[stateOf(outcome)]++
          for (const [state, count] of Object.entries(counts)) yield [[kind, state], count]
        }
      }),
    family('gauge', 'modelroute_watches', 'Watches of the Kubernetes API by state: following, reading (not all of it has been read yet), absent (the cluster does not have the kind), failing.', ['kind', 'state'],
      function* () {
        const counts = new Map<string, number>()
        for (const { kind, state } of observed().watches) {
          for (const each of states) counts.set(`${kind} ${each}`, (counts.get(`${kind} ${each}`) ?? 0) + (each === state ? 1 : 0))
        }
        for (const [key, count] of counts) yield [key.split(' '), count]
      }),
    family('gauge', 'modelroute_queue_depth', 'Objects that something is to be written of: statuses, revisions, annotations.', ['queue'],
      function* () {
        for (const [queue, { size }] of Object.entries(observed().queues)) yield [[queue], size]
      }),
    family('counter', 'modelroute_reconcile_errors_total', 'Writes to the Kubernetes API that came to nothing and are tried again, by queue.', ['queue'],
      function* () {
        for (const [queue, { failed }] of Object.entries(observed().queues)) yield [[queue], failed]
      }),
  ]
}

function stateOf(outcome: Readonly<{ accepted: Readonly<{ status: string }>; partiallyInvalid?: Readonly<{ status: string }> }>): 'accepted' | 'partial' | 'refused' {
  if (outcome.accepted.status !== 'True') return 'refused'
  return outcome.partiallyInvalid?.status === 'True' ? 'partial' : 'accepted'
}

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { labelText, type Family } from '../../exposition/family.ts'
import { single, useFamilies } from '../../exposition/process.ts'

export type ProcessDeps = Readonly<{
  /** The table in force. */
  table: () => Readonly<{ version: string }> | undefined
  /** Seconds since a controller last said that the table in force is what it should be. */
  tableAge: () => number
}>

/** What there is one of in a process. */
export function processFamilies({ table, tableAge }: ProcessDeps): Readonly<{ families: readonly Family[]; close: () => void }> {
  const resolution = 20
  const delay = monitorEventLoopDelay({ resolution })
  delay.enable()
  const lag = (): number => {
    // Nanoseconds between two wake-ups that should have been `resolution` milliseconds apart.
    const late = delay.percentile(99) / 1e9 - resolution / 1000
    delay.reset()
    return Number.isFinite(late) ? Math.max(0, late) : 0
  }
  return {
    families: [
      {
        name: 'modelroute_table_version_info', help: 'The routing table in force; always 1.', type: 'gauge', labels: ['version'], combine: 'max',
        rows() {
          const current = table()
          return current ? [{ labels: labelText(['version'], [current.version]), value: 1 }] : []
        },
      },
      single('modelroute_table_age_seconds', 'Since a controller last said that the routing table in force is what it should be.', tableAge, { combine: 'max' }),
      single('modelroute_event_loop_lag_seconds', 'How late the event loop was, at worst for 99 % of the time since the last scrape.', lag, { combine: 'max' }),
      ...useFamilies(),
    ],
    close: () => delay.disable(),
  }
}

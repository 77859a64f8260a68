import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Gauge, Registry } from 'prom-client'
import { registerUse } from '../../exposition/process.ts'

export type ProcessDeps = Readonly<{
  /** The table in force. */
  table: () => Readonly<{ version: string }> | undefined
  /** Seconds since a controller last said that the table in force is what it should be. */
  tableAge: () => number
}>

/** What there is one of in a process, as prom-client tells it. */
export function registerProcess({ table, tableAge }: ProcessDeps): Readonly<{ registry: Registry; close: () => void }> {
  const registry = new Registry()
  const registers = [registry]
  const version = new Gauge({
    name: 'modelroute_table_version_info',
    help: 'The routing table in force; always 1.',
    labelNames: ['version'],
    aggregator: 'max',
    registers,
    collect() {
      version.reset()
      const current = table()
      if (current) version.set({ version: current.version }, 1)
    },
  })
  const age = new Gauge({
    name: 'modelroute_table_age_seconds',
    help: 'Since a controller last said that the routing table in force is what it should be.',
    aggregator: 'max',
    registers,
    collect() {
      age.set(tableAge())
    },
  })
  const resolution = 20
  const delay = monitorEventLoopDelay({ resolution })
  delay.enable()
  const lag = new Gauge({
    name: 'modelroute_event_loop_lag_seconds',
    help: 'How late the event loop was, at worst for 99 % of the time since the last scrape.',
    aggregator: 'max',
    registers,
    collect() {
      // Nanoseconds between two wake-ups that should have been `resolution` milliseconds apart.
      const late = delay.percentile(99) / 1e9 - resolution / 1000
      lag.set(Number.isFinite(late) ? Math.max(0, late) : 0)
      delay.reset()
    },
  })
  registerUse(registry)
  return { registry, close: () => delay.disable() }
}

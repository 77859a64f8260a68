import { Counter, type Registry } from 'prom-client'
import type { PluginTally } from '../plugins/tally.ts'

export function registerPlugins(registry: Registry, tally: PluginTally): void {
  const calls = new Counter({
    name: 'modelroute_plugin_calls_total',
    help: 'Requests that a plugin saw. result: passed, refused, answered; error, timeout, gone, busy where it failed.',
    labelNames: ['plugin', 'result'],
    registers: [registry],
    collect() {
      calls.reset()
      for (const { plugin, result, count } of tally.values()) calls.inc({ plugin, result }, count)
    },
  })
}

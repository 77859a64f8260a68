import type { Fault } from './plugin-thread.ts'

/** How a call of a plugin ended. */
export type PluginResult = 'passed' | 'refused' | 'answered' | Fault['reason']

/** What plugins did, by name. */
export class PluginTally {
  readonly #counts = new Map<string, Map<PluginResult, number>>()

  count(plugin: string, result: PluginResult): void {
    let ofPlugin = this.#counts.get(plugin)
    if (ofPlugin === undefined) {
      ofPlugin = new Map()
      this.#counts.set(plugin, ofPlugin)
    }
    ofPlugin.set(result, (ofPlugin.get(result) ?? 0) + 1)
  }

  *values(): Iterable<Readonly<{ plugin: string; result: PluginResult; count: number }>> {
    for (const [plugin, results] of this.#counts) for (const [result, count] of results) yield { plugin, result, count }
  }
}

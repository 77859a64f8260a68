import { changeHeaders } from '../../plugins/applied.ts'
import type { PluginThread } from '../../plugins/plugin-thread.ts'
import type { PluginUse } from '../../plugins/plugins.ts'
import type { PluginTally } from '../../plugins/tally.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { known, type FlatHeaders } from '../../pipeline/headers.ts'
import { HeldBack } from '../../upstream/held-back.ts'
import { readableMax, whole } from '../../upstream/whole.ts'
import { causeOf, pluginFailed } from './failed.ts'

/** A plugin that waits for the answer to its request. */
export type Waiting = Readonly<{
  id: number
  thread: PluginThread
  use: PluginUse
  tally: PluginTally
  /** It gets the body too. */
  whole: boolean
}>

type Changed = Readonly<{ headers: FlatHeaders; body: Buffer | undefined }>

/** Shows the answer to the plugin before it goes on. */
export function watch(exchange: Exchange, waiting: Waiting): void {
  const { id, thread, use, tally } = waiting
  exchange.onEnd(() => thread.end(id))

  /** What the plugin makes of an answer; undefined: nothing of it can go out. */
  async function changed(status: number, headers: readonly string[], body: Buffer | undefined): Promise<Changed | undefined> {
    const result = await thread.respond(id, status, headers, body)
    const own = [...headers]
    const why = 'why' in result ? result.why : changeHeaders(own, result.headers)
    if (why === undefined && !('why' in result)) {
      return { headers: own, body: result.body && Buffer.from(result.body.buffer, result.body.byteOffset, result.body.byteLength) }
    }
    tally.count(use.name, 'reason' in result ? result.reason : 'error')
    exchange.cause = causeOf(use.name, why ?? '')
    return thread.declared.onError === 'Skip' ? { headers: [...headers], body: undefined } : undefined
  }

  const stages = (exchange.stages ??= [])
  if (waiting.whole && exchange.rule !== undefined) {
    stages.push(whole({
      method: exchange.method,
      max: readableMax(exchange.rule),
      wants: () => true,
      async change(answer) {
        const next = await changed(answer.status, answer.headers, answer.body)
        return next === undefined ? pluginFailed : { ...answer, headers: next.headers, body: next.body ?? answer.body }
      },
    }))
    return
  }
  stages.push((to, refuse) => new HeldBack(to, async (status, rawHeaders) => {
    const next = await changed(status, rawHeaders.map((text, at) => (at % 2 === 0 ? known(text).name : text)), undefined)
    if (next === undefined) refuse(pluginFailed, exchange.cause)
    return next?.headers
  }))
}

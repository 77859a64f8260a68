import type { Log } from '../telemetry/log.ts'
import { Predictions } from './predictions.ts'

/**
 * The log of a process. Rejects where its file cannot be opened.
 * @param to a server where it is a URL, else a file; undefined: nothing is written down, and only statistics are made
 */
export async function openPredictions(to: string | undefined, log: Log, busy: () => boolean): Promise<Predictions> {
  if (to === undefined) return new Predictions({ busy })
  const { sendEvents, writeEvents } = await import('./sinks.ts')
  const say = (error: Error | undefined): void => {
    if (error) log.write('error', 'predictions: cannot be delivered', { why: error.message })
    else log.write('info', 'predictions: delivered again')
  }
  return new Predictions({ sink: /^https?:\/\//.test(to) ? sendEvents({ url: to, say }) : await writeEvents(to, say), busy })
}

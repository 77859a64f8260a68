import { openAuditFile } from '../telemetry/audit_file.ts'
import { createLines } from '../telemetry/lines.ts'
import { poster } from '../telemetry/sinks/http.ts'
import { trying, type TryingOptions } from '../telemetry/sinks/retried.ts'
import { headersOf, lineOf, type PredictionEvent } from './event.ts'
import type { PredictionSink } from './sink.ts'

/** A line for each event, in a file that is put aside when it is large (audit_file.ts). */
export async function writeEvents(path: string, say: (error: Error | undefined) => void): Promise<PredictionSink> {
  const file = await openAuditFile(path)
  let failing = false
  let held = 0
  let [delivered, failed] = [0, 0]
  const lines = createLines({
    sink: {
      write(bytes, done, durable) {
        // All that is held goes with it.
        const events = held
        held = 0
        file.write(bytes, (error) => {
          if (error) failed += events
          else delivered += events
          if (failing !== (error !== undefined)) say(error)
          failing = error !== undefined
          done(error)
        }, durable)
      },
    },
    // It would be no CloudEvent; a metric counts them.
    notice: () => '',
  })
  // What logrotate sends once it has moved a file away.
  const reopen = () => file.reopen()
  process.on('SIGHUP', reopen)
  return {
    put(event) {
      held++
      const taken = lines.hold(lineOf(event))
      if (!taken) held--
      return taken
    },
    outcomes: () => ({ delivered, failed }),
    async close() {
      process.off('SIGHUP', reopen)
      await lines.flush()
      await file.close()
    },
  }
}

export type SendOptions = Readonly<{
  url: string
  /** Bytes of events that wait. */
  waitingMax?: number
  /** Milliseconds that the end of the process waits. */
  closing?: number
}> & Pick<TryingOptions, 'say' | 'timeout' | 'wait'>

/** Events under way at once, as KServe's agent has workers. */
const lanes = 5
const attempts = 4
/** What an event takes beside its body, about. Bytes. */
const overhead = 1024

/** A POST for each event, in binary mode, as KServe's logger sends them. */
export function sendEvents({ url, waitingMax = 8 * 1_048_576, closing = 2000, ...options }: SendOptions): PredictionSink {
  const post = poster(url)
  const { deliver, close } = trying({ attempts, ...options })
  const waiting: PredictionEvent[] = []
  let size = 0
  let busy = 0
  let [delivered, failed] = [0, 0]
  let idle: (() => void) | undefined

  async function work(): Promise<void> {
    busy++
    for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) {
      const { data } = event
      const headers = headersOf(event)
      const body = data && Uint8Array.from(data)
      try {
        await deliver((signal) => post(headers, body, signal))
        delivered++
      } catch {
        failed++
      }
      size -= sizeOf(event)
    }
    busy--
    if (busy === 0) idle?.()
  }

  return {
    put(event) {
      if (size + sizeOf(event) > waitingMax) return false
      size += sizeOf(event)
      waiting.push(event)
      if (busy < lanes) void work()
      return true
    },
    outcomes: () => ({ delivered, failed }),
    async close() {
      if (busy > 0) {
        const late = setTimeout(close, closing)
        await new Promise<void>((resolve) => { idle = resolve })
        clearTimeout(late)
      }
      close()
    },
  }
}

const sizeOf = ({ data }: PredictionEvent) => overhead + (data?.length ?? 0)

import { ExportResultCode } from '@opentelemetry/core'
import type { BatchSpanProcessor, ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace'
import type { Log } from '../log.ts'
import type { SpanTally } from '../tallies.ts'

/** Characters of what a library says of a failure. */
const whyMax = 200

/** Counts what is sent, and tells when that begins to fail, and when it works again. @param handed told how many left the queue */
export function countedExporter(inner: SpanExporter, tally: SpanTally, log: Log, handed: (spans: number) => void): SpanExporter {
  let failing = false
  return {
    export(spans, done) {
      handed(spans.length)
      inner.export(spans, (result) => {
        const failed = result.code !== ExportResultCode.SUCCESS
        tally[failed ? 'failed' : 'exported'] += spans.length
        if (failed && !failing) log.write('warn', 'spans cannot be sent', { why: (result.error?.message ?? '').slice(0, whyMax) })
        if (!failed && failing) log.write('info', 'spans are sent again')
        failing = failed
        done(result)
      })
    },
    shutdown: () => inner.shutdown(),
    ...(inner.forceFlush !== undefined && { forceFlush: () => inner.forceFlush?.() ?? Promise.resolve() }),
  }
}

/** Holds the queue to its bound itself: the processor behind it tells nobody how many spans it leaves out. */
export class BoundedProcessor implements SpanProcessor {
  readonly #inner: BatchSpanProcessor
  readonly #most: number
  readonly #tally: SpanTally
  #waiting = 0

  constructor(inner: BatchSpanProcessor, most: number, tally: SpanTally) {
    this.#inner = inner
    this.#most = most
    this.#tally = tally
  }

  handed(spans: number): void {
    this.#waiting -= spans
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#waiting >= this.#most) {
      this.#tally.dropped++
      return
    }
    this.#waiting++
    this.#inner.onEnd(span)
  }

  forceFlush(): Promise<void> {
    return this.#inner.forceFlush()
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown()
  }
}

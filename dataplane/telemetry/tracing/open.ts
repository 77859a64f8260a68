import { randomUUID } from 'node:crypto'
import { context, diag, DiagLogLevel, propagation, trace } from '@opentelemetry/api'
import { envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { AlwaysOnSampler, BatchSpanProcessor, StackContextManager, type SpanExporter } from '@opentelemetry/sdk-trace'
import { collectGarbage } from '../../garbage.ts'
import type { Log } from '../log.ts'
import type { SpanTally } from '../tallies.ts'
import type { TracingSettings } from '../tracing_settings.ts'
import { BoundedProcessor, countedExporter } from './delivery.ts'
import { newParent, spanIn } from './ids.ts'
import { createTracing, type Tracing } from './tracing.ts'

/** What waits may take so long to go out when the process ends. Milliseconds. */
const flushMax = 3000

export type OpenTracing = Readonly<{
  tracing: Tracing
  /** Sends what waits, as far as that can be done in time. */
  close(): Promise<void>
}>

/** Begins to send spans. Imported only where some are to be made: the libraries behind this take 10 MiB of an idle process, and 40 while they are loaded. */
export async function openTracing(settings: TracingSettings, { log, tally }: Readonly<{ log: Log; tally: SpanTally }>): Promise<OpenTracing> {
  const { most, batch, delay, timeout } = settings.queue
  const exporter = countedExporter(await exporterOf(settings.protocol), tally, log, (spans) => processor.handed(spans))
  const processor = new BoundedProcessor(new BatchSpanProcessor({
    exporter, maxQueueSize: most, maxExportBatchSize: batch, scheduledDelayMillis: delay, exportTimeoutMillis: timeout,
  }), most, tally)
  const ids = { trace: '' }
  const sdk = new NodeSDK({
    // What the variables say of the process goes before this. Other detectors would send its command line, with what is in that.
    resource: resourceFromAttributes({ 'service.name': 'modelroute', 'service.instance.id': randomUUID() }),
    resourceDetectors: [envDetector],
    // It has been decided already, once a request.
    sampler: new AlwaysOnSampler(),
    idGenerator: { generateTraceId: () => ids.trace, generateSpanId: () => spanIn(newParent()) },
    spanProcessors: [processor],
    textMapPropagator: null,
    // What belongs together is said where a span is made: nothing has to follow every asynchronous step for that.
    contextManager: new StackContextManager(),
    metricReaders: [], logRecordProcessors: [], instrumentations: [],
  })
  sayThrough(log)
  sdk.start()
  // No public port is open yet, and what loading left behind is nearly as much as what stays.
  collectGarbage()
  const tracer = trace.getTracer('modelroute')
  log.write('info', 'spans are made and sent', { protocol: settings.protocol, ratio: settings.sampling.ratio, parent_based: settings.sampling.parentBased })
  return {
    tracing: createTracing(settings.sampling, (id) => {
      ids.trace = id
      return tracer
    }),
    async close() {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => { timer = setTimeout(resolve, flushMax) })
      await Promise.race([sdk.shutdown().catch(() => {}), late])
      clearTimeout(timer)
      // Another may begin in this process.
      trace.disable()
      context.disable()
      propagation.disable()
      diag.disable()
    },
  }
}

async function exporterOf(protocol: TracingSettings['protocol']): Promise<SpanExporter> {
  if (protocol === 'grpc') return new (await import('@opentelemetry/exporter-trace-otlp-grpc')).OTLPTraceExporter()
  if (protocol === 'http/json') return new (await import('@opentelemetry/exporter-trace-otlp-http')).OTLPTraceExporter()
  return new (await import('@opentelemetry/exporter-trace-otlp-proto')).OTLPTraceExporter()
}

const diagnosed = new Map(Object.entries(DiagLogLevel).flatMap(([name, level]) => (typeof level === 'number' ? [[name, level] as const] : [])))

/** Whoever asks for the library's own words (OTEL_LOG_LEVEL) gets them as lines of the log, and not between them. */
function sayThrough(log: Log): void {
  const logLevel = diagnosed.get(process.env['OTEL_LOG_LEVEL']?.toUpperCase() ?? '')
  if (logLevel === undefined) return
  const say = (level: 'debug' | 'info' | 'warn' | 'error') => (text: string): void => log.write(level, 'opentelemetry', { text: text.slice(0, 1000) })
  diag.setLogger({ error: say('error'), warn: say('warn'), info: say('info'), debug: say('debug'), verbose: say('debug') }, { logLevel, suppressOverrideMessage: true })
}

/** Of the traces that begin here, the share that is kept, from 0 to 1; and whether a caller's own decision goes before that. */
export type Sampling = Readonly<{ ratio: number; parentBased: boolean }>

const protocols = ['http/protobuf', 'http/json', 'grpc'] as const

/** `queue` and `batch` in spans, `delay` and `timeout` in milliseconds. */
export type TracingSettings = Readonly<{
  protocol: (typeof protocols)[number]
  sampling: Sampling
  queue: Readonly<{ most: number; batch: number; delay: number; timeout: number }>
}>

type Variables = Readonly<Record<string, string | undefined>>

const samplers = new Map<string, (ratio: number) => Sampling>([
  ['always_on', () => ({ ratio: 1, parentBased: false })],
  ['always_off', () => ({ ratio: 0, parentBased: false })],
  ['traceidratio', (ratio) => ({ ratio, parentBased: false })],
  ['parentbased_always_on', () => ({ ratio: 1, parentBased: true })],
  ['parentbased_always_off', () => ({ ratio: 0, parentBased: true })],
  ['parentbased_traceidratio', (ratio) => ({ ratio, parentBased: true })],
])

/**
 * What the standard variables of OpenTelemetry say of traces; undefined: there is nowhere to send any, or they are not
 * wanted. A value that means nothing is as if it were not there, and that is told (OpenTelemetry, environment variables).
 * The exporter reads its own: endpoint, headers, certificates, compression, timeout.
 */
export function tracingSettings(variables: Variables, warn: (message: string, fields: Readonly<Record<string, string>>) => void): TracingSettings | undefined {
  const read = (name: string) => variables[name]?.trim() || undefined
  const ignored = (name: string) => warn('a variable of OpenTelemetry is not understood, and ignored', { variable: name, value: read(name) ?? '' })
  if ((read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? read('OTEL_EXPORTER_OTLP_ENDPOINT')) === undefined) return undefined
  if (read('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return undefined
  const exporters = (read('OTEL_TRACES_EXPORTER') ?? 'otlp').split(',').map((one) => one.trim())
  if (!exporters.includes('otlp')) {
    if (!exporters.includes('none')) ignored('OTEL_TRACES_EXPORTER')
    return undefined
  }

  function number(name: string, otherwise: number, fits: (value: number) => boolean): number {
    const text = read(name)
    const value = Number(text)
    if (text === undefined || fits(value)) return text === undefined ? otherwise : value
    ignored(name)
    return otherwise
  }
  const whole = (name: string, otherwise: number, most: number) => number(name, otherwise, (value) => Number.isInteger(value) && value > 0 && value <= most)

  const protocolFrom = read('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') === undefined ? 'OTEL_EXPORTER_OTLP_PROTOCOL' : 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'
  const protocol = protocols.find((one) => one === (read(protocolFrom) ?? 'http/protobuf'))
  if (protocol === undefined) ignored(protocolFrom)
  const name = read('OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on'
  const sampler = samplers.get(name)
  if (sampler === undefined) ignored('OTEL_TRACES_SAMPLER')
  const ratio = name.endsWith('traceidratio') ? number('OTEL_TRACES_SAMPLER_ARG', 1, (value) => value >= 0 && value <= 1) : 1
  const most = whole('OTEL_BSP_MAX_QUEUE_SIZE', 2048, 1_000_000)
  return {
    protocol: protocol ?? 'http/protobuf',
    sampling: sampler?.(ratio) ?? { ratio: 1, parentBased: true },
    queue: {
      most,
      batch: Math.min(most, whole('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512, 1_000_000)),
      delay: whole('OTEL_BSP_SCHEDULE_DELAY', 5000, 3_600_000),
      timeout: whole('OTEL_BSP_EXPORT_TIMEOUT', 30_000, 3_600_000),
    },
  }
}

import type { IncomingHttpHeaders } from 'node:http'
import type { TestContext } from 'node:test'
import protobuf from 'protobufjs'
import type { TracingSettings } from '../../dataplane/telemetry/tracing_settings.ts'
import { eventually, httpUpstream } from './sockets.ts'

/** As much of OTLP's ExportTraceServiceRequest as tests look at (opentelemetry-proto, trace.proto). */
const { root } = protobuf.parse(`syntax = "proto3";
  message Value { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
  message KeyValue { string key = 1; Value value = 2; }
  message Event { fixed64 time_unix_nano = 1; string name = 2; }
  message Link { bytes trace_id = 1; bytes span_id = 2; }
  message Status { int32 code = 3; }
  message Span { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5; int32 kind = 6;
    fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9; repeated Event events = 11; repeated Link links = 13; Status status = 15; }
  message ScopeSpans { repeated Span spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Request { repeated ResourceSpans resource_spans = 1; }`)
const Request = root.lookupType('Request')

type Value = Readonly<{ stringValue?: string; boolValue?: boolean; intValue?: string | number; doubleValue?: number }>
type Pairs = readonly Readonly<{ key: string; value: Value }>[] | undefined
type Raw = Readonly<{
  traceId: string; spanId: string; parentSpanId?: string; traceState?: string; name: string; kind: number; startTimeUnixNano: string; endTimeUnixNano: string
  attributes?: Pairs; events?: readonly { name: string }[]; links?: readonly { traceId: string; spanId: string }[]; status?: { code?: number }
}>
type Body = Readonly<{ resourceSpans: readonly Readonly<{ resource: { attributes: Pairs }; scopeSpans: readonly { spans: readonly Raw[] }[] }>[] }>

export type TestSpan = Readonly<{
  trace: string; id: string; parent: string; state: string; name: string; kind: number; from: bigint; to: bigint; failed: boolean
  attributes: Readonly<Record<string, string | number | boolean | undefined>>; events: readonly string[]; links: readonly string[]
}>

const record = (pairs: Pairs) => Object.fromEntries((pairs ?? []).map(({ key, value }) =>
  [key, value.stringValue ?? value.boolValue ?? (value.intValue === undefined ? value.doubleValue : Number(value.intValue))] as const))

/** Bytes stand as hexadecimal digits in OTLP's JSON, and as base64 in that of protobufjs. */
const digits = (id = '', base64: boolean) => (base64 ? Buffer.from(id, 'base64').toString('hex') : id)

function spanOf(raw: Raw, base64: boolean): TestSpan {
  return {
    trace: digits(raw.traceId, base64), id: digits(raw.spanId, base64), parent: digits(raw.parentSpanId, base64), state: raw.traceState ?? '', name: raw.name, kind: raw.kind,
    from: BigInt(raw.startTimeUnixNano), to: BigInt(raw.endTimeUnixNano), failed: raw.status?.code === 2, attributes: record(raw.attributes),
    events: (raw.events ?? []).map(({ name }) => name), links: (raw.links ?? []).map(({ spanId }) => digits(spanId, base64)),
  }
}

/** Of a request in protobuf. */
export function spansIn(bytes: Buffer): TestSpan[] {
  const { resourceSpans } = Request.toObject(Request.decode(bytes), { longs: String, bytes: String }) as Body
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans.map((raw) => spanOf(raw, true))))
}

/** Receives what OTLP exporters send over HTTP, in protobuf or JSON, and reads it. The variable for its address holds until the test ends. */
export async function otlpReceiver(t: TestContext) {
  const spans: TestSpan[] = []
  const bodies: Buffer[] = []
  const heads: IncomingHttpHeaders[] = []
  let resource: ReturnType<typeof record> = {}
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const body = Buffer.concat(chunks)
      const json = request.headers['content-type'] === 'application/json'
      const read = json ? JSON.parse(body.toString()) as Body
        : Request.toObject(Request.decode(body), { longs: String, bytes: String, defaults: false }) as Body
      for (const one of read.resourceSpans) {
        resource = record(one.resource.attributes)
        spans.push(...one.scopeSpans.flatMap((scope) => scope.spans.map((raw) => spanOf(raw, !json))))
      }
      bodies.push(body)
      heads.push(request.headers)
      response.setHeader('content-type', json ? 'application/json' : 'application/x-protobuf').end(json ? '{}' : '')
    })
  })
  sendTo(t, `http://127.0.0.1:${port}`)
  return {
    spans, heads,
    resource: () => resource,
    raw: () => Buffer.concat(bodies).toString('latin1'),
    /** The spans of a trace, once so many have come, by their names. */
    async trace(id: string, count: number): Promise<Record<string, TestSpan>> {
      const found = () => spans.filter(({ trace }) => trace === id)
      await eventually(() => found().length >= count)
      return Object.fromEntries(found().map((one) => [one.name, one]))
    },
  }
}

/** The variable by which the exporter knows where to send, until the test ends. */
export function sendTo(t: TestContext, url: string): void {
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = url
  t.after(() => { delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] })
}

/** Spans are sent at once. */
export const tracingOf = (more: Partial<TracingSettings> = {}): TracingSettings =>
  ({ protocol: 'http/protobuf', sampling: { ratio: 1, parentBased: true }, queue: { most: 2048, batch: 512, delay: 1, timeout: 30_000 }, ...more })

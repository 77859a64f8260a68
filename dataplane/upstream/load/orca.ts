import type { Report } from './load.ts'

/** Asks a model server for its load in the answer. vLLM takes it in any case, Triton in lower case only. */
export const askForLoad = ['endpoint-load-metrics-format', 'text'] as const

const header = 'endpoint-load-metrics'
/** In which gRPC has it, among the trailers (gRFC A51). */
const binary = 'endpoint-load-metrics-bin'

/** Whether a header says how busy the server is: that is for us, and nobody else's business. */
export function tellsLoad(name: string): boolean {
  return name === header || name === binary
}

/** Longer ones are not looked at. */
const valueMax = 4096

/**
 * What an answer tells of the load of the server that gave it: ORCA's report, as text, JSON or protobuf (cncf/xds,
 * xds.data.orca.v3.OrcaLoadReport).
 * @param raw names and values as they came, one after the other
 */
export function reportIn(raw: readonly string[]): Report | undefined {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ''
    if (name.length !== header.length && name.length !== binary.length) continue
    const value = raw[i + 1] ?? ''
    if (value.length > valueMax) continue
    const lower = name.toLowerCase()
    if (lower === header) return readHeader(value)
    if (lower === binary) return readProtobuf(value)
  }
  return undefined
}

function readHeader(value: string): Report | undefined {
  const space = value.indexOf(' ')
  const rest = value.slice(space + 1)
  switch (value.slice(0, Math.max(0, space)).toUpperCase()) {
    case 'TEXT': return readText(rest)
    case 'JSON': return readJson(rest)
    case 'BIN': return readProtobuf(rest)
    default: return undefined
  }
}

function readText(text: string): Report | undefined {
  const told = new Map<string, number>()
  for (const pair of text.split(',')) {
    const [name = '', value = ''] = pair.split(/[=:]/, 2)
    tell(told, name.trim(), value.trim() === '' ? undefined : Number(value))
  }
  return reportOf(told)
}

function readJson(text: string): Report | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const told = new Map<string, number>()
  for (const [name, inner] of entries(value)) {
    tell(told, name, inner)
    for (const [metric, one] of entries(inner)) tell(told, `${name}.${metric}`, one)
  }
  return reportOf(told)
}

function entries(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : []
}

function tell(told: Map<string, number>, name: string, value: unknown): void {
  if (typeof value === 'number' && Number.isFinite(value)) told.set(name, value)
}

/** What servers call it: vLLM, Triton, and whoever follows gRPC's weighted round robin (gRFC A58). */
function reportOf(told: ReadonlyMap<string, number>): Report | undefined {
  const named = (...names: string[]) => names.map((name) => told.get(`named_metrics.${name}`)).find((value) => value !== undefined)
  const waiting = named('num_requests_waiting')
  const running = named('num_requests_running')
  const used = named('kv_cache_usage_perc', 'kv_cache_utilization') ?? told.get('application_utilization') ?? told.get('cpu_utilization')
  return waiting === undefined && running === undefined && used === undefined ? undefined : { waiting, running, used }
}

/** Fields of the message that are read, by number. */
const doubles = new Map([[1, 'cpu_utilization'], [9, 'application_utilization']])
const namedMetrics = 8

function readProtobuf(base64: string): Report | undefined {
  const told = new Map<string, number>()
  for (const { field, double, bytes } of fieldsOf(Buffer.from(base64, 'base64'))) {
    const name = doubles.get(field)
    if (name !== undefined) tell(told, name, double)
    if (field !== namedMetrics || bytes === undefined) continue
    const [key, value] = [...fieldsOf(bytes)]
    if (key?.field === 1 && value?.field === 2) tell(told, `named_metrics.${key.bytes?.toString('utf8') ?? ''}`, value.double)
  }
  return reportOf(told)
}

type Field = Readonly<{ field: number; double?: number; bytes?: Buffer }>

/** The fields of a protobuf message, up to where it is none. */
function* fieldsOf(message: Buffer): Generator<Field> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 1; at < message.length; shift *= 128) {
      const byte = message[at++] ?? 0
      value += (byte & 127) * shift
      if (byte < 128) return value
    }
    return Number.NaN
  }
  while (at < message.length) {
    const tag = varint()
    const field = Math.floor(tag / 8)
    switch (tag % 8) {
      case 0:
        varint()
        break
      case 1:
        if (at + 8 > message.length) return
        yield { field, double: message.readDoubleLE(at) }
        at += 8
        break
      case 2: {
        const length = varint()
        if (!(at + length <= message.length)) return
        yield { field, bytes: message.subarray(at, at + length) }
        at += length
        break
      }
      case 5:
        at += 4
        break
      default: return
    }
  }
}

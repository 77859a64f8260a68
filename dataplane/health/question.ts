import type { ActiveHealth, ServedModel } from '../../table/resilience.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { framed, onlyMessage } from '../protocols/grpc_frames.ts'
import { FieldReader, MessageWriter } from '../protocols/protobuf.ts'
import { pathOfV1 } from '../protocols/v1.ts'
import { pathOfV2 } from '../protocols/v2.ts'

/** What an endpoint answered; names and values of the headers and trailers as they came. */
export type Answer = Readonly<{ status: number; headers: readonly string[]; trailers: readonly string[]; body: Buffer }>

/** What an endpoint is asked to learn whether it is fit. */
export type Question = Readonly<{
  method: string
  path: string
  headers: FlatHeaders
  body: Buffer | null
  http2: boolean
  /** How much of the body of an answer is of interest; 0: the status says it all. */
  bytes: number
  /** Why the endpoint is not fit; undefined: it is. */
  fault(answer: Answer): string | undefined
}>

/** Of the list of models of a server that has many. */
const listMax = 1_048_576
const messageMax = 4096

const get = (path: string, bytes: number, fault: Question['fault']): Question =>
  ({ method: 'GET', path, headers: [], body: null, http2: false, bytes, fault })

export function questionOf(active: ActiveHealth, served: ServedModel | undefined): Question {
  if (active.type === 'GRPC') return healthOfServer()
  return active.type === 'HTTP' || served === undefined ? get(active.path ?? '/', 0, statusFault) : askForModel(served)
}

function askForModel(served: ServedModel): Question {
  if (served.protocol === 'OpenAI') {
    const { base = '', name } = served
    return get(`${base}/v1/models`, listMax, (answer) => statusFault(answer) ?? unlisted(answer.body, name))
  }
  const { protocol, name, version } = served
  if (protocol === 'GRPC') return readinessByGrpc(name, version)
  if (protocol === 'V2') return get(pathOfV2(name, version, '/ready'), 0, statusFault)
  return get(pathOfV1(name, version, ''), listMax, (answer) => statusFault(answer) ?? unready(answer.body))
}

function statusFault({ status }: Answer): string | undefined {
  return status >= 200 && status < 300 ? undefined : `it answered ${status}`
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

const memberOf = (value: unknown, name: string): unknown => typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined

/** OpenAI: `{"data": [{"id": "llama"}, …]}`. */
function unlisted(body: Buffer, name: string | undefined): string | undefined {
  const data = memberOf(parsed(body), 'data')
  if (!Array.isArray(data)) return 'its answer is no list of models'
  return data.some((model: unknown) => name === undefined || memberOf(model, 'id') === name) ? undefined : 'it does not list the model'
}

/** KServe V1: `{"name": "fraud", "ready": true}`; TensorFlow Serving: `{"model_version_status": [{"state": "AVAILABLE"}]}`. */
function unready(body: Buffer): string | undefined {
  const answer = parsed(body)
  const ready = memberOf(answer, 'ready')
  const versions = memberOf(answer, 'model_version_status')
  if (Array.isArray(versions)) {
    return versions.some((version: unknown) => memberOf(version, 'state') === 'AVAILABLE') ? undefined : 'no version of the model is available'
  }
  // Some say `"True"`; servers that say nothing have said 200.
  return ready === undefined || ready === true || ready === 'True' || ready === 'true' ? undefined : 'the model is not ready'
}

const grpc = (path: string, message: Buffer, fault: (message: Buffer) => string | undefined): Question => ({
  method: 'POST',
  path,
  headers: ['content-type', 'application/grpc'],
  body: framed(message),
  http2: true,
  bytes: messageMax,
  fault(answer) {
    const status = valueOf(answer.trailers, 'grpc-status') ?? valueOf(answer.headers, 'grpc-status')
    if (answer.status !== 200) return `it answered ${answer.status}`
    if (status !== '0') return `it answered with gRPC status ${/^\d{1,2}$/.test(status ?? '') ? status : 'unknown'}`
    const inside = onlyMessage(answer.body)
    return inside === undefined ? 'its answer is no message of gRPC' : fault(inside)
  },
})

/** grpc.health.v1: `HealthCheckResponse.status` is field 1, and SERVING is 1. */
function healthOfServer(): Question {
  return grpc('/grpc.health.v1.Health/Check', Buffer.alloc(0), (message) => numberIn(message, 1) === 1 ? undefined : 'it is not serving')
}

/** The Open Inference Protocol: `ModelReadyRequest` is name (1) and version (2), `ModelReadyResponse.ready` is field 1. */
function readinessByGrpc(name: string, version: string | undefined): Question {
  const message = new MessageWriter().text(1, name)
  if (version !== undefined) message.text(2, version)
  return grpc('/inference.GRPCInferenceService/ModelReady', message.whole(), (answer) => numberIn(answer, 1) === 1 ? undefined : 'the model is not ready')
}

/** A number, boolean or enum field, 0 where the message does not have it; undefined where it is no message. */
function numberIn(message: Buffer, wanted: number): number | undefined {
  const fields = new FieldReader(message)
  let found = 0
  while (fields.next()) if (fields.field === wanted && fields.wire === 0) found = fields.number
  return fields.broken ? undefined : found
}

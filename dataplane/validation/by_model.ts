import { readLimit } from '../pipeline/body.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { modelOf } from '../protocols/path.ts'
import { FieldReader } from '../protocols/protobuf.ts'
import { partOf } from '../shape/part.ts'
import type { Side } from '../tensors/read_json.ts'
import { isStream, messageOf } from '../translate/tensors/grpc.ts'
import type { BodyChecks } from './body_checks.ts'
import { describedBy, optionalInputs, type Described, type Subject } from './described.ts'
import type { Takes } from './tensors/takes.ts'
import type { Verdict } from './verdict.ts'

/** Checks inferences by what the model says that it takes and gives. */

/** What an inference is said in; undefined: it is none. */
export type Form = 'V1' | 'V2' | 'GRPC'

const inferPath = '/inference.GRPCInferenceService/ModelInfer'

export function formOf({ path, method, received }: Pick<Exchange, 'path' | 'method' | 'received'>): Form | 'stream' | undefined {
  if (isGrpc(valueOf(received.headers, 'content-type'))) return path === inferPath ? 'GRPC' : isStream(path) ? 'stream' : undefined
  const named = method === 'POST' ? modelOf(path) : undefined
  if (named?.protocol === 'V2' && named.rest === '/infer') return 'V2'
  return named?.protocol === 'V1' && named.rest === ':predict' ? 'V1' : undefined
}

/** A body as it is checked: `message` of gRPC; JSON, and how many bytes come after it. */
export type Inference = Readonly<{ form: 'GRPC'; message: Buffer } | { form: 'V1' | 'V2'; json: Buffer; rest: number | undefined }>

/** @param body out of its content coding */
export async function inferenceIn(form: Form, headers: Readonly<FlatHeaders>, body: Buffer, max: number): Promise<Inference | Failure> {
  if (form === 'GRPC') {
    const message = await messageOf(headers, body, readLimit(max))
    return 'code' in message ? message : { form, message }
  }
  const part = partOf(headers, body)
  return part === undefined ? undescribed : { form, json: part.json, rest: part.rest?.length }
}

const undescribed = failure('invalid_request', 'The body does not begin with as much JSON as Inference-Header-Content-Length says, so that its tensors cannot be checked.')

/** The model that a variant is asked for in the place of the one that the caller names. */
export function subjectOf(exchange: Exchange, rule: BuiltRule, variant: BuiltVariant, inference: Inference | undefined): Subject {
  const named = inference?.form === 'GRPC' ? namedIn(inference.message) : exchange.model()
  const { model } = variant
  return { exchange, rule, variant, name: model?.name ?? named?.name ?? '', version: model?.version ?? named?.version ?? '' }
}

/** ModelInferRequest: model_name (1), model_version (2). */
function namedIn(message: Buffer): { name: string; version: string } {
  const texts = ['', '', '']
  const reader = new FieldReader(message)
  while (reader.next()) if (reader.wire === 2 && reader.field <= 2) texts[reader.field] = reader.text
  return { name: texts[1] ?? '', version: texts[2] ?? '' }
}

/** Milliseconds: what is older may be that of a version that is gone, and is asked for again before anything is refused. */
const trustedFor = 1000

/** `untold`: the model says nothing of that side. A failure: it cannot be known what the model takes. Never rejects. */
export async function checkInference(subject: Subject, side: Side, inference: Inference, checks: BodyChecks, tenant: string): Promise<Verdict | 'untold' | Failure> {
  const described = await describedBy(subject)
  if ('code' in described) return described
  const verdict = await beside(described, side, [], inference, checks, tenant)
  if (typeof verdict === 'string') return verdict
  const [again, optional] = await Promise.all([describedBy(subject, trustedFor), side === 'inputs' ? optionalInputs(subject) : []])
  if ('code' in again) return again
  return again === described && optional.length === 0 ? verdict : await beside(again, side, optional, inference, checks, tenant)
}

async function beside(described: Described, side: Side, optional: readonly string[], inference: Inference, checks: BodyChecks, tenant: string): Promise<Verdict | 'untold'> {
  const tensors = described[side]
  if (tensors.length === 0) return 'untold'
  const takes: Takes = { side, tensors, optional, outputs: side === 'inputs' ? described.outputs.map(({ name }) => name) : [] }
  if (inference.form === 'GRPC') return await checks.messageByModel(inference.message, takes)
  return await checks.byModel(tenant, inference.json, { by: inference.form, takes, rest: inference.rest })
}

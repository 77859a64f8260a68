import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { FieldReader, MessageWriter } from '../protocols/protobuf.ts'
import { pathOfV1 } from '../protocols/v1.ts'
import { pathOfV2 } from '../protocols/v2.ts'
import { framed, grpcServer, messageOf, typed } from '../translate/tensors/grpc.ts'
import type { ModelInfo, Question } from '../translate/tensors/question.ts'
import { v2Server } from '../translate/tensors/v2_rest.ts'
import { speechOf } from '../translate/index.ts'
import { isRecord, own, parsed } from '../translate/text/members.ts'
import type { Put } from '../translate/translation.ts'
import type { Given } from '../translate/unary.ts'
import type { TensorInfo } from './tensors/takes.ts'

/** What a model says of itself. Answers are kept beside the variant (`rule.ask`), and read once. */
export type Described = Pick<ModelInfo, 'inputs' | 'outputs'>

/** Whose model it is, and under what name and version the backend has it; a version that is empty is not named. */
export type Subject = Readonly<{ exchange: Exchange; rule: BuiltRule; variant: BuiltVariant; name: string; version: string }>

/** Of what a server says of a model. Bytes. */
const describedMax = 1_048_576

const read = new WeakMap<Given, Described | Failure>()
const optional = new WeakMap<Given, readonly string[]>()

/** @param olderThan milliseconds: what is older is asked for again */
export async function describedBy(subject: Subject, olderThan?: number): Promise<Described | Failure> {
  const { exchange, rule, variant, name, version } = subject
  const speech = speechIn(subject)
  const question: Question = { ask: 'model', name, version }
  const put = speech === 'V1' ? get(pathOfV1(name, version || undefined, '/metadata')) : await serverOf(speech).put(question, { call: (put) => rule.ask(exchange, rule, variant, put) })
  if ('code' in put) return put
  const given = await rule.ask(exchange, rule, variant, put, olderThan)
  if ('code' in given) return given
  const known = read.get(given)
  if (known !== undefined) return known
  const described = speech === 'V1' ? servingIn(given) : await said(question, given, speech)
  read.set(given, described)
  return described
}

type Speech = 'V1' | 'V2' | 'GRPC'
const get = (path: string): Put => ({ method: 'GET', path, headers: [], body: null })
const serverOf = (speech: 'V2' | 'GRPC') => (speech === 'GRPC' ? grpcServer : v2Server)

/** What its server is asked in. */
function speechIn({ exchange, variant }: Subject): Speech {
  const speech = variant.protocol ?? speechOf(exchange)
  return speech === 'GRPC' || speech === 'V1' ? speech : 'V2'
}

async function said(question: Question, given: Given, speech: 'V2' | 'GRPC'): Promise<Described | Failure> {
  const reply = await serverOf(speech).read(question, given, describedMax)
  if ('code' in reply) return untold(reply.detail)
  if (reply.reply === 'model') return reply.model
  return reply.reply === 'error' ? refused(reply.status, reply.message) : untold(reply.reply)
}

/** A name or a version that nobody has is the caller's own. Triton says 400 to some. */
function refused(status: number, message: string): Failure {
  return status === 404 || status === 400 ? { ...unknown, cause: message.slice(0, 200) } : untold(`${status} ${message.slice(0, 200)}`)
}

const unknown = failure('model_not_found', 'The backend knows no model of this name and version, or does not say what it takes.')
const untold = (cause: string): Failure => ({ ...failure('upstream_protocol', 'The backend does not say what the model takes.'), cause: `metadata: ${cause}` })

/** Inputs that a model can do without, as Triton has it in its configuration (model configuration extension); other servers have none. */
export async function optionalInputs(subject: Subject): Promise<readonly string[]> {
  const { exchange, rule, variant, name, version } = subject
  const speech = speechIn(subject)
  if (speech === 'V1') return []
  const put = speech === 'V2' ? get(pathOfV2(name, version || undefined, '/config')) : configAsked(subject)
  const given = await rule.ask(exchange, rule, variant, put)
  if ('code' in given || given.status !== 200) return []
  let names = optional.get(given)
  if (names === undefined) {
    names = speech === 'V2' ? optionalIn(given.body) : await optionalInMessage(given)
    optional.set(given, names)
  }
  return names
}

function optionalIn(body: Buffer): readonly string[] {
  const inputs = own(parsed(body.toString()), 'input')
  if (!Array.isArray(inputs)) return []
  return (inputs as readonly unknown[]).flatMap((input) => own(input, 'optional') === true ? [String(own(input, 'name'))] : [])
}

/** ModelConfigRequest is the same message as ModelMetadataRequest. */
function configAsked({ name, version }: Subject): Put {
  const message = new MessageWriter().text(1, name)
  if (version !== '') message.text(2, version)
  return { method: 'POST', path: '/inference.GRPCInferenceService/ModelConfig', headers: [...typed], body: framed(message.parts, message.length) }
}

/** ModelConfigResponse: config (1); ModelConfig: input (5); ModelInput: name (1), optional (8). */
async function optionalInMessage({ headers, body }: Given): Promise<readonly string[]> {
  const message = await messageOf(headers, body, describedMax)
  if ('code' in message) return []
  const names: string[] = []
  for (const config of fieldsOf(message, 1)) {
    for (const input of fieldsOf(config, 5)) {
      const [name] = fieldsOf(input, 1)
      const reader = new FieldReader(input)
      while (reader.next()) if (reader.field === 8 && reader.wire === 0 && reader.number !== 0) names.push(name?.toString() ?? '')
    }
  }
  return names
}

function fieldsOf(message: Buffer, field: number): readonly Buffer[] {
  const found: Buffer[] = []
  const reader = new FieldReader(message)
  while (reader.next()) if (reader.field === field && reader.wire === 2 && found.length < 1024) found.push(reader.value)
  return found
}

/** TensorFlow Serving's datatypes by ours. */
const datatypes: Readonly<Record<string, string>> = {
  DT_BOOL: 'BOOL', DT_INT8: 'INT8', DT_INT16: 'INT16', DT_INT32: 'INT32', DT_INT64: 'INT64', DT_UINT8: 'UINT8', DT_UINT16: 'UINT16',
  DT_UINT32: 'UINT32', DT_UINT64: 'UINT64', DT_HALF: 'FP16', DT_BFLOAT16: 'BF16', DT_FLOAT: 'FP32', DT_DOUBLE: 'FP64', DT_STRING: 'BYTES',
}

/** What TensorFlow Serving says (`/v1/models/{name}/metadata`) of the signature that is asked where none is named. */
function servingIn({ status, body }: Given): Described | Failure {
  if (status !== 200) return refused(status, '')
  let at: unknown = parsed(body.toString('utf8', 0, describedMax))
  for (const name of ['metadata', 'signature_def', 'signature_def', 'serving_default']) at = own(at, name)
  if (!isRecord(at)) return untold('no signature serving_default')
  return { inputs: tensorsIn(own(at, 'inputs')), outputs: tensorsIn(own(at, 'outputs')) }
}

function tensorsIn(value: unknown): readonly TensorInfo[] {
  if (!isRecord(value)) return []
  const tensors = Object.entries(value).slice(0, 1024)
  // Of which nobody knows the rank, nothing can be said.
  if (tensors.some(([, tensor]) => own(own(tensor, 'tensor_shape'), 'unknown_rank') === true)) return []
  return tensors.flatMap(([name, tensor]) => {
    const dims: unknown = own(own(tensor, 'tensor_shape'), 'dim')
    const shape = Array.isArray(dims) ? (dims as readonly unknown[]).map((dim) => Number(own(dim, 'size'))) : []
    const datatype = datatypes[String(own(tensor, 'dtype'))]
    return datatype !== undefined && shape.every(Number.isSafeInteger) ? [{ name, datatype, shape }] : []
  })
}

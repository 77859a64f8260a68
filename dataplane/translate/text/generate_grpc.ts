import type { Failure } from '../../pipeline/errors.ts'
import { valueOf } from '../../pipeline/headers.ts'
import { eventOf } from '../../protocols/event_reader.ts'
import { grpcCodeOf } from '../../protocols/grpc.ts'
import { FrameReader, onlyMessage } from '../../protocols/grpc_frames.ts'
import { FieldReader } from '../../protocols/protobuf.ts'
import type { TokenUsage } from '../../protocols/usage.ts'
import { modelOfV2 } from '../../protocols/v2.ts'
import { readMessage, writeMessage } from '../../tensors/grpc_message.ts'
import type { Infer, Parameter, Tensor } from '../../tensors/tensor.ts'
import { readMembers } from '../../tensors/work.ts'
import { json } from '../rest.ts'
import { decodedMessage, framed, grpcServer, streamPath, typed } from '../tensors/grpc.ts'
import { replyTo, type ModelInfo } from '../tensors/question.ts'
import { elementsIn, lengthOf, tensorOf } from '../tensors/values.ts'
import type { Translation } from '../translation.ts'
import type { Part, PieceReader, PieceWriter } from './ask.ts'
import { countingOf, type Hidden } from './counting.ts'
import { inexpressible, invalid, isRecord, own } from './members.ts'
import { answerOf } from './translate.ts'

/**
 * Triton's generate extension, of a server over gRPC: what is called as an input of the model is one, and the rest are
 * parameters of the request. It is always a stream of inferences: only by that every model answers, those too that give several pieces.
 */
export const generateToGrpc: Translation = async (asked) => {
  const { path, body, model: as, generated, countsTokens } = asked
  const named = modelOfV2(path)
  const [name, version] = [as?.name ?? named?.name ?? '', as?.version ?? named?.version ?? '']
  const members = await readMembers(body)
  if ('code' in members) return members
  const described = await replyTo(asked, grpcServer, { ask: 'model', name, version })
  const info = described?.reply === 'model' ? described.model : undefined
  // In a stream Triton says why an inference failed, and not by which status.
  const fault = described?.reply === 'error' && described.status === 404 ? 404 : undefined
  const given = members.get('parameters')
  const hidden = countingOf(countsTokens, info, (wish) => members.get(wish) ?? own(given, wish))
  const infer = inferOf(members, info, hidden)
  if ('code' in infer) return infer
  const { pieces, length } = writeMessage('inputs', { ...infer, model: name, version })
  const stream = named?.rest === '/generate_stream'
  const writer = stream ? () => eventWriter(hidden.outputs) : () => wholeWriter(hidden.outputs)
  return {
    method: 'POST', path: streamPath, headers: [...typed], body: framed(pieces, length),
    answer: answerOf<Part>(stream, asked, { reader: () => partReader(asked.answerMax, fault), writer, error: () => 'The backend does not answer in gRPC.', generated }),
  }
}

function inferOf(members: ReadonlyMap<string, unknown>, info: ModelInfo | undefined, hidden: Hidden): Infer | Failure {
  const id = members.get('id') ?? ''
  if (typeof id !== 'string') return invalid('id', 'is not a text.')
  const given = members.get('parameters') ?? {}
  if (!isRecord(given)) return invalid('parameters', 'is not an object.')
  const values = new Map<string, unknown>()
  for (const [name, value] of [...members, ...Object.entries(given)]) if (name !== 'id' && name !== 'parameters' && value !== null) values.set(name, value)
  for (const name of hidden.inputs) values.set(name, true)
  const tensors: Tensor[] = []
  const parameters = new Map<string, Parameter>()
  // What vLLM and its like call the prompt is never a parameter.
  const inputs = info?.inputs ?? [{ name: 'text_input', datatype: 'BYTES', shape: [1] }]
  for (const [name, value] of values) {
    const input = inputs.find((one) => one.name === name)
    if (input !== undefined) {
      const tensor = tensorOf(name, value, input.datatype, input.shape.length)
      if (tensor === undefined) return invalid(name, `is not ${input.datatype}.`)
      tensors.push(tensor)
    } else if (typeof value === 'number') parameters.set(name, Number.isSafeInteger(value) ? BigInt(value) : value)
    else if (typeof value === 'string' || typeof value === 'boolean') parameters.set(name, value)
    else return inexpressible(name, 'the model has no such input, and a parameter is one value.')
  }
  return { model: '', version: '', id, parameters, tensors, outputs: [] }
}

/** Takes the answers of ModelStreamInfer apart. @param status of an error, where that is known already */
function partReader(max: number, status: number | undefined): PieceReader<Part> {
  const frames = new FrameReader(max)
  let usage: TokenUsage | undefined
  const read = (frame: Buffer): readonly Part[] | undefined => {
    // Packed messages were not asked for.
    const message = onlyMessage(frame)
    const said = message && answerIn(message)
    if (said === undefined) return undefined
    if (typeof said === 'string') return [{ kind: 'fault', message: said, ...(status !== undefined && { status }) }]
    const infer = readMessage('outputs', said)
    if ('code' in infer) return undefined
    // It only says that it is the last.
    if (infer.tensors.length === 0) return []
    const part = partOf(infer)
    if (part === undefined) return undefined
    const [input, output] = [part['num_input_tokens'], part['num_output_tokens']]
    if (typeof input !== 'number' && typeof output !== 'number') return [{ kind: 'part', part }]
    usage = { inputTokens: typeof input === 'number' ? input : usage?.inputTokens ?? 0, outputTokens: (usage?.outputTokens ?? 0) + (typeof output === 'number' ? output : 0) }
    return [{ kind: 'part', part }, { kind: 'usage', usage }]
  }
  return {
    push(chunk) {
      const parts: Part[] = []
      for (const frame of frames.push(chunk) ?? [undefined]) {
        const some = frame && read(frame)
        if (some === undefined) return undefined
        parts.push(...some)
      }
      return parts
    },
    end(head) {
      const status = valueOf(head, 'grpc-status')
      if (status === undefined || frames.broken) return undefined
      return status === '0' ? [] : [{ kind: 'fault', status: grpcCodeOf(status), message: decodedMessage(valueOf(head, 'grpc-message') ?? '') }]
    },
  }
}

/** ModelStreamInferResponse: `error_message` (1) or `infer_response` (2). MLServer sends the latter by itself. */
function answerIn(message: Buffer): Buffer | string {
  const reader = new FieldReader(message)
  let answer: Buffer | undefined
  let error = ''
  while (reader.next()) {
    if (reader.field === 5) return message
    if (reader.field === 1) error = reader.text
    else if (reader.field === 2) answer = reader.value
  }
  return error === '' ? answer ?? message : error
}

function partOf({ model, version, id, tensors }: Infer): Readonly<Record<string, unknown>> | undefined {
  const members = new Map<string, unknown>()
  if (id !== '') members.set('id', id)
  members.set('model_name', model)
  if (version !== '') members.set('model_version', version)
  for (const tensor of tensors) {
    const values = elementsIn(tensor)
    if (values === undefined) return undefined
    members.set(tensor.name, lengthOf(tensor) === 1 ? values[0] : values)
  }
  return Object.fromEntries(members)
}

const nothing: Buffer = Buffer.alloc(0)

const without = (part: Readonly<Record<string, unknown>>, hidden: ReadonlySet<string>) =>
  hidden.size === 0 ? part : Object.fromEntries(Object.entries(part).filter(([name]) => !hidden.has(name)))

function eventWriter(hidden: ReadonlySet<string>): PieceWriter<Part> {
  return {
    headers: ['content-type', 'text/event-stream; charset=utf-8'],
    write(piece) {
      if (piece.kind === 'usage') return nothing
      return eventOf(JSON.stringify(piece.kind === 'fault' ? { error: piece.message } : without(piece.part, hidden)))
    },
    end: () => ({ status: 200, headers: [], body: [] }),
    refusal: (status, error) => json(status, { error }),
  }
}

function wholeWriter(hidden: ReadonlySet<string>): PieceWriter<Part> {
  const parts: Readonly<Record<string, unknown>>[] = []
  return {
    headers: undefined,
    write(piece) {
      if (piece.kind === 'part' && parts.length < 2) parts.push(without(piece.part, hidden))
      return nothing
    },
    end: () => parts.length === 1 ? json(200, parts[0]) : json(400, { error: 'The model does not give exactly one answer: generate_stream takes any number of them.' }),
    refusal: (status, error) => json(status, { error }),
  }
}

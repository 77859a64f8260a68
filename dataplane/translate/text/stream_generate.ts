import type { Failure } from '../../pipeline/errors.ts'
import { EventReader } from '../../protocols/event_reader.ts'
import { framed } from '../../protocols/grpc_frames.ts'
import { MessageWriter } from '../../protocols/protobuf.ts'
import type { TokenUsage } from '../../protocols/usage.ts'
import { pathOfV2 } from '../../protocols/v2.ts'
import { readMessage, writeMessage } from '../../tensors/grpc_message.ts'
import { noParameters, type Infer, type Tensor } from '../../tensors/tensor.ts'
import { errorIn } from '../rest.ts'
import { messageOf, typed } from '../tensors/grpc.ts'
import { replyTo, type TensorInfo } from '../tensors/question.ts'
import { v2Server } from '../tensors/v2_rest.ts'
import { datatypeOf, elementsIn, tensorOf } from '../tensors/values.ts'
import type { Translation } from '../translation.ts'
import type { Part, PieceReader, PieceWriter } from './ask.ts'
import { countingOf } from './counting.ts'
import { inexpressible, own, parsed, isRecord } from './members.ts'
import { answerOf } from './translate.ts'

/**
 * A stream of inferences over gRPC (`ModelStreamInfer`), of a server that streams by Triton's generate extension. Of the
 * messages that a caller may send, this is for one.
 * @param described the server says over V2 which datatypes its models have
 */
export const streamToGenerate = (described: boolean): Translation => async (asked) => {
  const { headers, body, requestMax, model: as, generated, countsTokens } = asked
  const message = await messageOf(headers, body, requestMax)
  if ('code' in message) return message
  const infer = readMessage('inputs', message)
  if ('code' in infer) return infer
  const [name, version] = [as?.name ?? infer.model, as?.version ?? infer.version]
  const members = membersOf(infer)
  if ('code' in members) return members
  const reply = described ? await replyTo(asked, v2Server, { ask: 'model', name, version }) : undefined
  const info = reply?.reply === 'model' ? reply.model : undefined
  const hidden = countingOf(countsTokens, info, (wish) => members.get(wish) ?? infer.parameters.get(wish))
  for (const wish of hidden.inputs) members.set(wish, true)
  return {
    method: 'POST', path: pathOfV2(name, version || undefined, '/generate_stream'), headers: ['content-type', 'application/json', 'accept', 'text/event-stream'],
    body: [Buffer.from(JSON.stringify(Object.fromEntries(members)))],
    answer: answerOf<Part>(true, asked, { reader: partReader, writer: () => messageWriter(infer, info?.outputs ?? [], hidden.outputs), error: errorIn, generated }),
  }
}

/** By it a caller asks for an answer without outputs that says that it is the last. */
const wantsEnd = 'triton_enable_empty_final_response'

function membersOf({ id, parameters, tensors }: Infer): Map<string, unknown> | Failure {
  const members = new Map<string, unknown>()
  if (id !== '') members.set('id', id)
  for (const tensor of tensors) {
    const values = elementsIn(tensor)
    if (values === undefined) return inexpressible(tensor.name, 'it holds what JSON cannot say, or more than a parameter.')
    if (tensor.parameters.size > 0) return inexpressible(tensor.name, 'the generate extension knows no parameters of tensors.')
    members.set(tensor.name, values.length === 1 ? values[0] : values)
  }
  const rest = [...parameters].filter(([name]) => name !== wantsEnd).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value] as const)
  if (rest.length > 0) members.set('parameters', Object.fromEntries(rest))
  return members
}

function partReader(): PieceReader<Part> {
  const events = new EventReader()
  let usage: TokenUsage | undefined
  const read = (all: readonly { data: string }[] | undefined): readonly Part[] | undefined => {
    const parts: Part[] = []
    for (const { data } of all ?? []) {
      const part = parsed(data)
      if (!isRecord(part)) return undefined
      const error = own(part, 'error')
      if (error !== undefined) {
        parts.push({ kind: 'fault', message: typeof error === 'string' ? error : JSON.stringify(error) })
        continue
      }
      parts.push({ kind: 'part', part })
      const [input, output] = [own(part, 'num_input_tokens'), own(part, 'num_output_tokens')]
      if (typeof input !== 'number' && typeof output !== 'number') continue
      usage = { inputTokens: typeof input === 'number' ? input : usage?.inputTokens ?? 0, outputTokens: (usage?.outputTokens ?? 0) + (typeof output === 'number' ? output : 0) }
      parts.push({ kind: 'usage', usage })
    }
    return all && parts
  }
  return { push: (chunk) => read(events.push(chunk)), end: () => read(events.end()) }
}

const nothing: Buffer = Buffer.alloc(0)
/** What of an answer is no output. */
const frame = new Set(['id', 'model_name', 'model_version'])
/** Where the server says nothing of its model: what vLLM and its like count by. */
const counts = new Set(['num_input_tokens', 'num_output_tokens'])

/** An error is told in a message, and the call ends well, as Triton has it. */
function messageWriter({ model, version, id, parameters, outputs: wanted }: Infer, outputs: readonly TensorInfo[], hidden: ReadonlySet<string>): PieceWriter<Part> {
  const head: Infer = { model, version, id, parameters: noParameters, tensors: [], outputs: [] }
  const last = (final: boolean): Infer['parameters'] => new Map([['triton_final_response', final]])
  const answer = (infer: Infer) => framed(new MessageWriter().bytes(2, Buffer.concat(writeMessage('outputs', infer).pieces)).whole())
  const failed = (message: string) => framed(new MessageWriter().text(1, message).bytes(2, Buffer.concat(writeMessage('outputs', { ...head, model: '', version: '' }).pieces)).whole())
  return {
    headers: [...typed],
    write(piece) {
      if (piece.kind === 'usage') return nothing
      if (piece.kind === 'fault') return failed(piece.message)
      const tensors = Object.entries(piece.part).flatMap(([name, value]): Tensor[] => {
        if (frame.has(name) || hidden.has(name) || (wanted.length > 0 && !wanted.some((one) => one.name === name))) return []
        const output = outputs.find((one) => one.name === name)
        const datatype = output?.datatype ?? (counts.has(name) ? 'UINT32' : datatypeOf(value))
        const tensor = datatype === undefined ? undefined : tensorOf(name, value, datatype, output?.shape.length ?? 1)
        return tensor === undefined ? [] : [tensor]
      })
      const [named, versioned] = [piece.part['model_name'], piece.part['model_version']]
      return answer({ ...head, model: typeof named === 'string' ? named : model, version: typeof versioned === 'string' ? versioned : version, parameters: last(false), tensors })
    },
    end: () => ({ status: 200, headers: [], body: parameters.get(wantsEnd) === true ? [answer({ ...head, parameters: last(true) })] : [], trailers: ['grpc-status', '0'] }),
    refusal: (_status, message) => ({ status: 200, headers: [...typed], body: [failed(message)], trailers: ['grpc-status', '0'] }),
  }
}

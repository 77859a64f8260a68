import { failure, requestTooLarge, type Failure } from '../../pipeline/errors.ts'
import { valueOf } from '../../pipeline/headers.ts'
import { unpacked } from '../../protocols/encodings.ts'
import { grpcCodeOf, grpcMessage } from '../../protocols/grpc.ts'
import { frameHead } from '../../protocols/grpc_frames.ts'
import { FieldReader, MessageWriter } from '../../protocols/protobuf.ts'
import { writeMessage } from '../../tensors/grpc_message.ts'
import { invalid } from '../../tensors/tensor.ts'
import { readMessage } from '../../tensors/work.ts'
import { unsupported } from '../translation.ts'
import type { Said } from '../unary.ts'
import { poured } from './poured.ts'
import type { Caller, Listed, ModelInfo, Question, Reply, Server, TensorInfo } from './question.ts'

/** The Open Inference Protocol over gRPC. */

const service = '/inference.GRPCInferenceService/'
const methods: Readonly<Record<Question['ask'], string>> = { live: 'ServerLive', ready: 'ServerReady', server: 'ServerMetadata', model: 'ModelMetadata', models: 'RepositoryIndex', 'model-ready': 'ModelReady', infer: 'ModelInfer' }
/** Inferences in a stream, both ways. */
export const streamPath = `${service}ModelStreamInfer`
export const isStream = (path: string): boolean => path === streamPath
const kinds = ['live', 'ready', 'server', 'model', 'models', 'model-ready', 'infer'] as const
export const pathOf = (ask: Question['ask']): string => service + methods[ask]
const asks = new Map(kinds.map((ask) => [pathOf(ask), ask]))

export const grpcCaller: Caller = async ({ path, headers, body, requestMax }) => {
  const ask = asks.get(path)
  if (ask === undefined) return unsupported(`The backend has nothing for ${path}.`)
  const message = await messageOf(headers, body, requestMax)
  if ('code' in message) return message
  const question = ask === 'infer' ? await inferIn(message) : namedIn(ask, message)
  if ('code' in question) return question
  return ask === 'models' && onlyReady(message) ? { question, say: (reply) => say(readyIn(reply)) } : { question, say }
}

async function inferIn(message: Buffer): Promise<Question | Failure> {
  const infer = await readMessage('inputs', message)
  return 'code' in infer ? infer : { ask: 'infer', infer }
}

/** ModelReadyRequest and ModelMetadataRequest: name (1) and version (2). */
function namedIn(ask: Exclude<Question['ask'], 'infer'>, message: Buffer): Question {
  if (ask !== 'model' && ask !== 'model-ready') return { ask }
  const [, name = '', version = ''] = textsIn(message)
  return { ask, name, version }
}

/** RepositoryIndexRequest: ready (2). */
function onlyReady(message: Buffer): boolean {
  const reader = new FieldReader(message)
  let ready = false
  while (reader.next()) if (reader.field === 2 && reader.wire === 0) ready = reader.number !== 0
  return ready
}

const readyIn = (reply: Reply): Reply => reply.reply === 'models' ? { reply: 'models', models: reply.models.filter(({ ready }) => ready) } : reply

function textsIn(message: Buffer): string[] {
  const texts: string[] = []
  const reader = new FieldReader(message)
  while (reader.next()) if (reader.wire === 2 && reader.field <= 4) texts[reader.field] = reader.text
  return texts
}

/** The one message of a body, unpacked where its flag says that it is packed. */
export async function messageOf(headers: readonly string[], body: Buffer, max: number): Promise<Buffer | Failure> {
  if (body.length < frameHead || body.readUInt32BE(1) !== body.length - frameHead) return invalid('The body is not one message of gRPC.')
  const message = body.subarray(frameHead)
  if (body[0] === 0) return message
  const plain = await unpacked(message, valueOf(headers, 'grpc-encoding') ?? 'identity', max)
  if (typeof plain !== 'string') return plain
  return plain === 'too_large' ? requestTooLarge(max) : invalid('The message is not packed as grpc-encoding says, or in a way that is not read here.')
}

export const typed: readonly string[] = ['content-type', 'application/grpc']

export function framed(pieces: readonly Buffer[], length: number): readonly Buffer[] {
  const head = Buffer.alloc(frameHead)
  head.writeUInt32BE(length, 1)
  return compact([head, ...pieces])
}

/** Pieces below this are put together: each costs a write. Bytes. */
const compactMax = 16_384

function compact(pieces: readonly Buffer[]): readonly Buffer[] {
  const compacted: Buffer[] = []
  let small: Buffer[] = []
  const flush = (): void => {
    if (small.length > 0) compacted.push(Buffer.concat(small))
    small = []
  }
  for (const piece of pieces) {
    if (piece.length < compactMax) small.push(piece)
    else {
      flush()
      compacted.push(piece)
    }
  }
  flush()
  return compacted
}

function say(reply: Reply): Said {
  if (reply.reply === 'error') return { status: 200, headers: [...typed], body: [], trailers: ['grpc-status', String(reply.grpc ?? statusOf(reply.status)), 'grpc-message', grpcMessage(reply.message)] }
  const { pieces, length } = written(reply)
  return { status: 200, headers: [...typed], body: framed(pieces, length), trailers: ['grpc-status', '0'] }
}

/** @returns UNKNOWN where the status says nothing of the kind */
function statusOf(status: number): number {
  return statuses[status] ?? (status >= 500 ? 13 : status >= 400 ? 3 : 2)
}

const statuses: Readonly<Record<number, number>> = { 401: 16, 403: 7, 404: 5, 408: 4, 409: 10, 413: 8, 429: 8, 499: 1, 501: 12, 502: 14, 503: 14, 504: 4 }

function written(reply: Exclude<Reply, { reply: 'error' }>): { pieces: readonly Buffer[]; length: number } {
  if (reply.reply === 'infer') return writeMessage('outputs', reply.infer)
  const writer = new MessageWriter()
  if (reply.reply === 'yes') writer.number(1, true)
  else if (reply.reply === 'server') {
    writer.text(1, reply.name).text(2, reply.version)
    for (const extension of reply.extensions) writer.text(3, extension)
  } else if (reply.reply === 'models') {
    for (const { name, version, ready, reason } of reply.models) {
      const model = new MessageWriter().text(1, name)
      if (version !== '') model.text(2, version)
      model.text(3, ready ? 'READY' : 'UNAVAILABLE')
      writer.message(1, reason === undefined ? model : model.text(4, reason))
    }
  } else if (reply.reply === 'model') {
    const { name, versions, platform, inputs, outputs } = reply.model
    writer.text(1, name)
    for (const version of versions) writer.text(2, version)
    writer.text(3, platform)
    for (const input of inputs) writer.message(4, infoOf(input))
    for (const output of outputs) writer.message(5, infoOf(output))
  }
  return { pieces: writer.parts, length: writer.length }
}

/** TensorMetadata. */
function infoOf({ name, datatype, shape }: TensorInfo): MessageWriter {
  const writer = new MessageWriter().text(1, name).text(2, datatype)
  for (const length of shape) writer.number(3, BigInt(length))
  return writer
}

export const grpcServer: Server = {
  pour: poured,
  put(question) {
    const { pieces, length } = question.ask === 'infer' ? writeMessage('inputs', question.infer) : asking(question)
    return { method: 'POST', path: pathOf(question.ask), headers: [...typed], body: framed(pieces, length) }
  },
  async read(question, { status, headers, body, trailers }, max) {
    const said = valueOf(trailers, 'grpc-status') ?? valueOf(headers, 'grpc-status')
    const message = valueOf(trailers, 'grpc-message') ?? valueOf(headers, 'grpc-message') ?? ''
    if (status !== 200) return { reply: 'error', status, message: `The backend answered with ${status}.` }
    if (said === undefined) return failure('upstream_protocol', 'It ended without a grpc-status.')
    if (said !== '0') return { reply: 'error', status: grpcCodeOf(said), grpc: /^\d{1,2}$/.test(said) ? Number(said) : 2, message: decodedMessage(message) }
    const bytes = await messageOf(headers, body, max)
    return 'code' in bytes ? bytes : await replyIn(question.ask, bytes)
  },
}

function asking(question: Exclude<Question, { ask: 'infer' }>): { pieces: readonly Buffer[]; length: number } {
  const writer = new MessageWriter()
  if ('name' in question) {
    writer.text(1, question.name)
    if (question.version !== '') writer.text(2, question.version)
  }
  return { pieces: writer.parts, length: writer.length }
}

async function replyIn(ask: Question['ask'], bytes: Buffer): Promise<Reply | Failure> {
  if (ask === 'infer') {
    const infer = await readMessage('outputs', bytes)
    return 'code' in infer ? infer : { reply: 'infer', infer }
  }
  const reader = new FieldReader(bytes)
  if (ask === 'server' || ask === 'model') return ask === 'model' ? { reply: 'model', model: modelIn(reader) } : serverIn(reader)
  if (ask === 'models') return listedIn(reader)
  let yes = false
  while (reader.next()) if (reader.field === 1 && reader.wire === 0) yes = reader.number !== 0
  return { reply: yes ? 'yes' : 'no' }
}

/** RepositoryIndexResponse. A server of Python's writes what its enumeration is called. */
function listedIn(reader: FieldReader): Reply {
  const models: Listed[] = []
  while (reader.next()) {
    if (reader.field !== 1 || models.length >= listedMax) continue
    const [, name = '', version = '', state = '', reason = ''] = textsIn(reader.value)
    models.push({ name, version, ready: /(?:^|\.)READY$/.test(state), ...(reason !== '' && { reason }) })
  }
  return { reply: 'models', models }
}

/** More models than any server has. */
const listedMax = 10_000

function serverIn(reader: FieldReader): Reply {
  let [name, version] = ['', '']
  const extensions: string[] = []
  while (reader.next()) {
    if (reader.field === 1) name = reader.text
    else if (reader.field === 2) version = reader.text
    else if (reader.field === 3) extensions.push(reader.text)
  }
  return { reply: 'server', name, version, extensions }
}

function modelIn(reader: FieldReader): ModelInfo {
  let [name, platform] = ['', '']
  const versions: string[] = []
  const inputs: TensorInfo[] = []
  const outputs: TensorInfo[] = []
  while (reader.next()) {
    if (reader.field === 1) name = reader.text
    else if (reader.field === 2) versions.push(reader.text)
    else if (reader.field === 3) platform = reader.text
    else if (reader.field === 4) inputs.push(tensorIn(reader.value))
    else if (reader.field === 5) outputs.push(tensorIn(reader.value))
  }
  return { name, versions, platform, inputs, outputs }
}

function tensorIn(message: Buffer): TensorInfo {
  const [, name = '', datatype = ''] = textsIn(message)
  const shape: number[] = []
  const reader = new FieldReader(message)
  while (reader.next()) {
    if (reader.field !== 3) continue
    if (reader.wire === 0) shape.push(Number(BigInt.asIntN(64, reader.bits)))
    else for (const bits of varintsIn(reader.value)) shape.push(Number(BigInt.asIntN(64, bits)))
  }
  return { name, datatype, shape }
}

function* varintsIn(bytes: Buffer): Generator<bigint> {
  let value = 0n
  let shift = 0n
  for (const byte of bytes.subarray(0, 320)) {
    value |= BigInt(byte & 0x7f) << shift
    shift += 7n
    if (byte >= 0x80) continue
    yield value
    value = 0n
    shift = 0n
  }
}

export function decodedMessage(message: string): string {
  try {
    return decodeURIComponent(message)
  } catch {
    return message
  }
}

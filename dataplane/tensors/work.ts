import type { Failure } from '../pipeline/errors.ts'
import { copied } from '../pipeline/gather.ts'
import type { TextPut, TextToPut } from '../translate/text/put.ts'
import type { Inputs } from './embeddings.ts'
import { isLight } from './grpc_message.ts'
import type { Side } from './read_json.ts'
import type { RowNames, Rows, Wanted } from './rows.ts'
import { perform, type Result, type Task } from './tasks.ts'
import { widths, type Infer, type Tensor } from './tensor.ts'
import { inThread } from './threads.ts'
import type { Written } from './write_json.ts'

/**
 * Reading and writing JSON and messages of any size: what would keep the process from other requests for more than a few milliseconds
 * is done in another thread. None of these ever rejects.
 */

/** Text that is read or written at once. Bytes. */
const hereMax = 262_144

export async function readJson(side: Side, json: Buffer, binary: Buffer): Promise<Infer | Failure> {
  const task: Task = { do: 'readJson', side, json, binary }
  const result = json.length <= hereMax ? perform(task) : await inThread({ ...task, json: await copied(json), binary: await copied(binary) }, json.length + binary.length)
  if ('code' in result) return result
  return 'infer' in result ? result.infer : other(result)
}

/** A message whose data are raw contents is only looked at, however long those are. */
export async function readMessage(side: Side, message: Buffer): Promise<Infer | Failure> {
  const task: Task = { do: 'readMessage', side, body: message }
  const result = message.length <= hereMax || isLight(side, message, hereMax) ? perform(task) : await inThread({ ...task, body: await copied(message) }, message.length)
  if ('code' in result) return result
  return 'infer' in result ? result.infer : other(result)
}

export async function readRows(body: Buffer, names: RowNames, wanted: readonly Wanted[], unnamed: string): Promise<Rows | Failure> {
  const task: Task = { do: 'readRows', body, names, wanted, unnamed }
  const result = body.length <= hereMax ? perform(task) : await inThread({ ...task, body: await copied(body) }, body.length)
  return 'code' in result || 'tensors' in result ? result : other(result)
}

export async function writeJson(side: Side, infer: Infer, binary: (name: string) => boolean): Promise<Written | Failure> {
  const raw = new Set(infer.tensors.filter(({ name }) => binary(name)).map(({ name }) => name))
  const task: Task = { do: 'writeJson', side, infer, binary: raw }
  const size = textOf(infer.tensors.filter(({ name }) => !raw.has(name)))
  const result = size <= hereMax ? perform(task) : await inThread({ ...task, infer: { ...infer, tensors: await owned(infer.tensors) } }, size)
  return 'code' in result || 'pieces' in result ? result : other(result)
}

export async function writeRows(key: string, tensors: readonly Tensor[], single: boolean): Promise<Buffer | Failure> {
  const task: Task = { do: 'writeRows', key, tensors, single }
  const size = textOf(tensors)
  const result = size <= hereMax ? perform(task) : await inThread({ ...task, tensors: await owned(tensors) }, size)
  if ('code' in result) return result
  return 'bytes' in result ? result.bytes : other(result)
}

/** A request of embeddings of the OpenAI API. */
export async function readInputs(body: Buffer): Promise<Inputs | Failure> {
  const task: Task = { do: 'readInputs', body }
  const result = body.length <= hereMax ? perform(task) : await inThread({ ...task, body: await copied(body) }, body.length)
  return 'code' in result || 'texts' in result ? result : other(result)
}

/** The answer to it. @param count texts that were sent */
export async function readEmbeddings(body: Buffer, count: number): Promise<readonly Tensor[] | Failure> {
  const task: Task = { do: 'readEmbeddings', body, count }
  const result = body.length <= hereMax ? perform(task) : await inThread({ ...task, body: await copied(body) }, body.length)
  if ('code' in result) return result
  return 'tensors' in result ? result.tensors : other(result)
}

export async function writeEmbeddings(tensor: Tensor, count: number, base64: boolean): Promise<Buffer | Failure> {
  const task: Task = { do: 'writeEmbeddings', tensors: [tensor], count, base64 }
  const size = textOf([tensor])
  const result = size <= hereMax ? perform(task) : await inThread({ ...task, tensors: await owned([tensor]) }, size)
  if ('code' in result) return result
  return 'bytes' in result ? result.bytes : other(result)
}

/** The members of the object that a body is; what is null is as if it were not there. */
export async function readMembers(body: Buffer): Promise<ReadonlyMap<string, unknown> | Failure> {
  const task: Task = { do: 'readMembers', body }
  const result = body.length <= hereMax ? perform(task) : await inThread({ ...task, body: await copied(body) }, body.length)
  if ('code' in result) return result
  return 'named' in result ? result.named : other(result)
}

/** A large request for text, always in another thread. */
export async function putText(asked: TextToPut): Promise<TextPut | Failure> {
  const { body } = asked
  const result = await inThread({ ...asked, do: 'putText', body: await copied(body) }, body.length)
  return 'code' in result || 'text' in result ? result : other(result)
}

function other(result: Exclude<Result, Failure>): never {
  throw new Error(`a result of another task: ${Object.keys(result).join()}`)
}

/** About how much text data become. Bytes. */
const textOf = (tensors: readonly Tensor[]): number =>
  tensors.reduce((sum, { datatype, data }) => sum + (data?.length ?? 0) * (datatype === 'BYTES' ? 1 : 1 + 16 / (widths.get(datatype) ?? 8)), 0)

const owned = (tensors: readonly Tensor[]): Promise<readonly Tensor[]> =>
  Promise.all(tensors.map(async (tensor) => tensor.data === undefined ? tensor : { ...tensor, data: await copied(tensor.data) }))

import type { Failure } from '../pipeline/errors.ts'
import { membersIn } from '../translate/text/members.ts'
import { putText, type TextPut, type TextToPut } from '../translate/text/put.ts'
import { readEmbeddings, readInputs, writeEmbeddings, type Inputs } from './embeddings.ts'
import { readMessage } from './grpc_message.ts'
import { readJson, type Side } from './read_json.ts'
import { readRows, type RowNames, type Rows, type Wanted } from './rows.ts'
import type { Infer, Tensor } from './tensor.ts'
import { writeJson, type Written } from './write_json.ts'
import { writeRows } from './write_rows.ts'

/** What may be done in another thread. Bytes are given away with it. */
export type Task =
  | Readonly<{ do: 'readJson'; side: Side; json: Buffer; binary: Buffer }>
  | Readonly<{ do: 'writeJson'; side: Side; infer: Infer; binary: ReadonlySet<string> }>
  | Readonly<{ do: 'readRows'; body: Buffer; names: RowNames; wanted: readonly Wanted[]; unnamed: string }>
  | Readonly<{ do: 'writeRows'; key: string; tensors: readonly Tensor[]; single: boolean }>
  | Readonly<{ do: 'readMessage'; side: Side; body: Buffer }>
  | Readonly<{ do: 'readInputs'; body: Buffer }>
  | Readonly<{ do: 'putText' } & TextToPut>
  | Readonly<{ do: 'readMembers'; body: Buffer }>
  | Readonly<{ do: 'readEmbeddings'; body: Buffer; count: number }>
  | Readonly<{ do: 'writeEmbeddings'; tensors: readonly Tensor[]; count: number; base64: boolean }>

export type Result = Readonly<{ infer: Infer }> | Written | Rows | Inputs | TextPut | Readonly<{ named: ReadonlyMap<string, unknown> }> | Readonly<{ bytes: Buffer }> | Failure

export function perform(task: Task): Result {
  if (task.do === 'readJson') {
    const infer = readJson(task.side, task.json, task.binary)
    return 'code' in infer ? infer : { infer }
  }
  if (task.do === 'readMessage') {
    const infer = readMessage(task.side, task.body)
    return 'code' in infer ? infer : { infer }
  }
  if (task.do === 'writeJson') return writeJson(task.side, task.infer, (name) => task.binary.has(name))
  if (task.do === 'readRows') return readRows(task.body, task.names, task.wanted, task.unnamed)
  if (task.do === 'putText') return putText(task)
  if (task.do === 'readMembers') {
    const named = membersIn(task.body)
    return 'code' in named ? named : { named }
  }
  if (task.do === 'readInputs') return readInputs(task.body)
  if (task.do === 'readEmbeddings') {
    const tensors = readEmbeddings(task.body, task.count)
    return 'code' in tensors ? tensors : { tensors, single: false }
  }
  const bytes = task.do === 'writeRows' ? writeRows(task.key, task.tensors, task.single) : writeEmbeddings(task.tensors, task.count, task.base64)
  return 'code' in bytes ? bytes : { bytes }
}

/** What becomes of bytes that go to another thread, or came from one. */
type Change = (bytes: Buffer) => Buffer

const tensorsWith = (tensors: readonly Tensor[], change: Change): Tensor[] =>
  tensors.map((tensor) => tensor.data === undefined ? tensor : { ...tensor, data: change(tensor.data) })
const inferWith = (infer: Infer, change: Change): Infer => ({ ...infer, tensors: tensorsWith(infer.tensors, change) })

export function taskWith(task: Task, change: Change): Task {
  if (task.do === 'readJson') return { ...task, json: change(task.json), binary: change(task.binary) }
  if (task.do === 'writeJson') return { ...task, infer: inferWith(task.infer, change) }
  return 'body' in task ? { ...task, body: change(task.body) } : { ...task, tensors: tensorsWith(task.tensors, change) }
}

export function resultWith(result: Result, change: Change): Result {
  if ('code' in result) return result
  if ('infer' in result) return { infer: inferWith(result.infer, change) }
  if ('named' in result) return result
  if ('text' in result) return { ...result, text: change(result.text) }
  if ('texts' in result) return { ...result, texts: change(result.texts) }
  if ('pieces' in result) return { ...result, pieces: result.pieces.map(change) }
  return 'tensors' in result ? { ...result, tensors: tensorsWith(result.tensors, change) } : { bytes: change(result.bytes) }
}

/** What came from another thread is bytes, and no buffer any more. */
export const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

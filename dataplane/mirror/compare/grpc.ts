import { onlyMessage } from '../../protocols/grpc_frames.ts'
import { FieldReader, varintAt, varintMax } from '../../protocols/protobuf.ts'
import { rawValues, type Tensor, type Tensors } from './tensors.ts'

/**
 * The outputs of a `ModelInferResponse` (Open Inference Protocol over gRPC), as far as they are in `raw_output_contents`
 * or in the packed lists of `contents`. Undefined where the message is another one, or more than one.
 */
export function tensorsOfGrpc(body: Buffer): Tensors | undefined {
  const message = onlyMessage(body)
  if (message === undefined) return undefined
  const tensors: Tensor[] = []
  const raw: Buffer[] = []
  const ok = fieldsOf(message, (field, value) => {
    if (field === outputs) {
      const tensor = value && tensorOf(value)
      if (tensor === undefined) return false
      tensors.push(tensor)
    } else if (field === rawContents && value) raw.push(value)
    return true
  })
  if (!ok || tensors.length === 0) return undefined
  const found = new Map<string, Tensor>()
  for (const [at, tensor] of tensors.entries()) {
    const bytes = raw[at]
    const values = bytes === undefined ? tensor.values : rawValues(tensor.datatype, bytes)
    if (values === undefined || found.has(tensor.name)) return undefined
    found.set(tensor.name, { ...tensor, values })
  }
  return found
}

/** Numbers of fields: of ModelInferResponse, of InferOutputTensor, of InferTensorContents. */
const [outputs, rawContents] = [5, 6]
const [name, datatype, shape, contents] = [1, 2, 3, 5]
/** Which of the packed lists is what a datatype says, and how its elements are written. */
const lists = new Map<number, 'varint' | 'signed' | 'FP32' | 'FP64'>(
  [[1, 'varint'], [2, 'signed'], [3, 'signed'], [4, 'varint'], [5, 'varint'], [6, 'FP32'], [7, 'FP64']],
)
const bytesContents = 8
/** Longer lists of varints take too long to read in one go; servers put what is large into `raw_output_contents`. Bytes. */
const varintsMax = 65_536

function tensorOf(bytes: Buffer): Tensor | undefined {
  const tensor = { name: '', datatype: '', shape: [] as number[] }
  let values: Tensor['values'] = []
  const ok = fieldsOf(bytes, (field, value, number) => {
    if (field === name && value) tensor.name = value.toString()
    else if (field === datatype && value) tensor.datatype = value.toString()
    else if (field === shape) tensor.shape.push(...(value ? varintsOf(value, false) ?? [] : [number]))
    else if (field === contents && value) {
      const listed = listedIn(value)
      if (listed === undefined) return false
      values = listed
    }
    return true
  })
  return ok ? { ...tensor, values } : undefined
}

function listedIn(bytes: Buffer): Tensor['values'] | undefined {
  let values: Tensor['values'] = []
  const texts: string[] = []
  const ok = fieldsOf(bytes, (field, value) => {
    const kind = lists.get(field)
    if (field === bytesContents && value) texts.push(value.toString())
    else if (value !== undefined && kind !== undefined) {
      const listed = kind === 'FP32' || kind === 'FP64' ? rawValues(kind, value) : varintsOf(value, kind === 'signed')
      if (listed === undefined) return false
      values = listed
    } else return false
    return true
  })
  return ok ? (texts.length > 0 ? texts : values) : undefined
}

/** Numbers beyond 53 bits are rounded. */
function varintsOf(bytes: Buffer, signed: boolean): number[] | undefined {
  if (bytes.length > varintsMax) return undefined
  const found: number[] = []
  for (let at = 0; at < bytes.length;) {
    const read = varintAt(bytes, at)
    if (read === undefined) return undefined
    // Of negative ones all ten bytes stand there.
    found.push(signed && read.end - at === varintMax ? negative(bytes, at) : read.value)
    at = read.end
  }
  return found
}

function negative(bytes: Buffer, from: number): number {
  let value = 0n
  for (let i = 0; i < varintMax; i++) value |= BigInt((bytes[from + i] ?? 0) & 0x7f) << BigInt(7 * i)
  return Number(BigInt.asIntN(64, value))
}

/** Each field of a message. False: it is no message, or `take` is not content. */
function fieldsOf(bytes: Buffer, take: (field: number, value: Buffer | undefined, number: number) => boolean): boolean {
  const fields = new FieldReader(bytes)
  while (fields.next()) {
    if (!take(fields.field, fields.wire === 2 ? fields.value : undefined, fields.wire === 0 ? fields.number : 0)) return false
  }
  return !fields.broken
}

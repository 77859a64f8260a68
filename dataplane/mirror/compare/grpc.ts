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

/** The one message of a unary answer (gRPC over HTTP/2: a flag and the length before it); a compressed one is not read. */
export function onlyMessage(body: Buffer): Buffer | undefined {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return undefined
  return body.subarray(5)
}

function tensorOf(bytes: Buffer): Tensor | undefined {
  const tensor = { name: '', datatype: '', shape: [] as number[] }
  let values: Tensor['values'] = []
  const ok = fieldsOf(bytes, (field, value, number) => {
    if (field === name && value) tensor.name = value.toString()
    else if (field === datatype && value) tensor.datatype = value.toString()
    else if (field === shape) tensor.shape.push(...(value ? varintsOf(value, false) ?? [] : [Number(number)]))
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
    found.push(Number(signed ? BigInt.asIntN(64, read.value) : read.value))
    at = read.end
  }
  return found
}

function varintAt(bytes: Buffer, from: number): { value: bigint; end: number } | undefined {
  let value = 0n
  for (let at = from, shift = 0n; at < bytes.length && shift < 70n; at++, shift += 7n) {
    const byte = bytes[at] ?? 0
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return { value, end: at + 1 }
  }
  return undefined
}

/**
 * Each field of a message: the bytes of one that has a length, the number of a varint. False: it is no message, or
 * `take` is not content.
 */
function fieldsOf(bytes: Buffer, take: (field: number, value: Buffer | undefined, number: bigint) => boolean): boolean {
  for (let at = 0; at < bytes.length;) {
    const tag = varintAt(bytes, at)
    if (tag === undefined) return false
    const [field, type] = [Number(tag.value >> 3n), Number(tag.value & 7n)]
    at = tag.end
    let value: Buffer | undefined
    let number = 0n
    if (type === 0 || type === 2) {
      const read = varintAt(bytes, at)
      if (read === undefined) return false
      at = read.end
      number = read.value
      if (type === 2) {
        const length = Number(number)
        if (at + length > bytes.length) return false
        value = bytes.subarray(at, at + length)
        at += length
      }
    } else if (type === 1 || type === 5) at += type === 1 ? 8 : 4
    else return false
    if (at > bytes.length || !take(field, value, number)) return false
  }
  return true
}

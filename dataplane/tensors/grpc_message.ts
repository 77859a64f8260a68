import type { Failure } from '../pipeline/errors.ts'
import { FieldReader, lengthOf, MessageWriter } from '../protocols/protobuf.ts'
import { readContents } from './grpc_contents.ts'
import type { Side } from './read_json.ts'
import { elementsOf, invalid, rankMax, shown, tensorsMax, type Infer, type Parameter, type Parameters, type Tensor } from './tensor.ts'

/** Fields of ModelInferRequest and ModelInferResponse: they agree in the first four. */
const of = { inputs: { tensors: 5, outputs: 6, raw: 7 }, outputs: { tensors: 5, outputs: 0, raw: 6 } } as const

type Draft = Omit<Tensor, 'data'> & { contents: Buffer | undefined }

/** A ModelInferRequest (its inputs) or ModelInferResponse (its outputs). Its bytes are shared with what is made of it. */
export function readMessage(side: Side, message: Buffer): Infer | Failure {
  const fields = of[side]
  const texts = ['', '', '', '']
  const parameters = new Map<string, Parameter>()
  const drafts: Draft[] = []
  const outputs: { name: string; parameters: Parameters }[] = []
  const raw: Buffer[] = []
  const reader = new FieldReader(message)
  while (reader.next()) {
    const { field, wire } = reader
    if (wire !== 2) continue
    if (field <= 3) texts[field] = reader.text
    else if (field === 4) addParameter(parameters, reader.value)
    else if (field === fields.tensors) {
      const draft = readDraft(reader.value)
      if (draft === undefined) return invalid('A tensor of the message cannot be read.')
      drafts.push(draft)
    } else if (field === fields.raw) raw.push(reader.value)
    else if (field === fields.outputs) outputs.push(readOutput(reader.value))
    if (drafts.length + outputs.length + raw.length > 2 * tensorsMax) return invalid('The message has more tensors than are read here.')
  }
  if (reader.broken) return invalid('The message cannot be read.')
  const tensors = settle(drafts, raw)
  if (!Array.isArray(tensors)) return tensors
  return { model: texts[1] ?? '', version: texts[2] ?? '', id: texts[3] ?? '', parameters, tensors, outputs }
}

/** Whether all but the raw contents of a message has no more bytes than `max`, and it has not many fields. */
export function isLight(side: Side, message: Buffer, max: number): boolean {
  const reader = new FieldReader(message)
  let bytes = 0
  for (let fields = 0; reader.next(); fields++) {
    if (reader.field !== of[side].raw) bytes += reader.to - reader.start
    if (bytes > max || fields > 4 * tensorsMax) return false
  }
  return true
}

function readOutput(message: Buffer): { name: string; parameters: Parameters } {
  const parameters = new Map<string, Parameter>()
  let name = ''
  const reader = new FieldReader(message)
  while (reader.next()) {
    if (reader.field === 1) name = reader.text
    else if (reader.field === 2) addParameter(parameters, reader.value)
  }
  return { name, parameters }
}

function readDraft(message: Buffer): Draft | undefined {
  const parameters = new Map<string, Parameter>()
  const shape: number[] = []
  const texts = ['', '', '']
  let contents: Buffer | undefined
  const reader = new FieldReader(message)
  while (reader.next()) {
    const { field, wire } = reader
    if (field === 3) {
      if (wire === 0) shape.push(reader.number)
      else for (let at = reader.from; at < reader.to && shape.length <= rankMax;) at = lengthAt(reader, at, shape)
      if (shape.length > rankMax) return undefined
    } else if (wire !== 2) continue
    else if (field <= 2) texts[field] = reader.text
    else if (field === 4) addParameter(parameters, reader.value)
    else if (field === 5) contents = contents === undefined ? reader.value : Buffer.concat([contents, reader.value])
  }
  if (reader.broken || elementsOf(shape) === undefined) return undefined
  return { name: texts[1] ?? '', datatype: texts[2] ?? '', shape, parameters, contents }
}

/** One dimension of a packed list; where the next begins. */
function lengthAt({ bytes, to }: FieldReader, from: number, shape: number[]): number {
  let value = 0
  let unit = 1
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0
    value += (byte & 0x7f) * unit
    unit *= 128
    if (byte >= 0x80) continue
    shape.push(value)
    return at + 1
  }
  shape.push(-1)
  return to
}

/** InferParameter is one of: bool_param, int64_param, string_param, double_param, uint64_param. */
function addParameter(parameters: Map<string, Parameter>, entry: Buffer): void {
  const reader = new FieldReader(entry)
  let name = ''
  let value: Parameter | undefined
  while (reader.next()) {
    if (reader.field === 1) name = reader.text
    else if (reader.field === 2) value = parameterIn(reader.value)
  }
  if (value !== undefined) parameters.set(name, value)
}

function parameterIn(message: Buffer): Parameter | undefined {
  const reader = new FieldReader(message)
  let value: Parameter | undefined
  while (reader.next()) {
    const { field, wire } = reader
    if (field === 1 && wire === 0) value = reader.number !== 0
    else if (field === 2 && wire === 0) value = BigInt.asIntN(64, reader.bits)
    else if (field === 3 && wire === 2) value = reader.text
    else if (field === 4 && wire === 1) value = reader.value.readDoubleLE()
    else if (field === 5 && wire === 0) value = reader.bits
  }
  return value
}

/** What is in shared memory has no data in the message, neither typed nor raw. */
const isElsewhere = ({ parameters }: Draft) => parameters.has('shared_memory_region')

function settle(drafts: readonly Draft[], raw: readonly Buffer[]): Tensor[] | Failure {
  const tensors: Tensor[] = []
  let next = 0
  for (const draft of drafts) {
    const { contents, ...tensor } = draft
    let data: Buffer | undefined
    if (isElsewhere(draft)) data = undefined
    else if (raw.length > 0) {
      data = raw[next++]
      // MLServer has contents without anything in them beside the raw ones.
      if (data === undefined || (contents?.length ?? 0) > 0) return invalid(`The tensor ${shown(tensor.name)} has no raw contents of its own.`)
    } else {
      data = contents === undefined ? Buffer.alloc(0) : readContents(contents, tensor.datatype)
      if (data === undefined) return invalid(`The contents of the tensor ${shown(tensor.name)} are not what its datatype ${shown(tensor.datatype)} says.`)
    }
    tensors.push({ ...tensor, data })
  }
  return next === raw.length ? tensors : invalid('There are more raw contents than tensors.')
}

/** The message in pieces; the data of the tensors, which are not copied, are raw contents. */
export function writeMessage(side: Side, { model, version, id, parameters, tensors, outputs }: Infer): { pieces: readonly Buffer[]; length: number } {
  const fields = of[side]
  const writer = new MessageWriter()
  for (const [at, text] of [model, version, id].entries()) if (text !== '') writer.text(at + 1, text)
  writeParameters(writer, 4, parameters)
  for (const { name, datatype, shape, parameters: own } of tensors) {
    const tensor = new MessageWriter().text(1, name).text(2, datatype)
    tensor.bytes(3, packed(shape))
    writeParameters(tensor, 4, own)
    writer.message(fields.tensors, tensor)
  }
  for (const { name, parameters: own } of outputs) {
    const output = new MessageWriter().text(1, name)
    writeParameters(output, 2, own)
    writer.message(of.inputs.outputs, output)
  }
  for (const { data } of tensors) if (data !== undefined) writer.bytes(fields.raw, data)
  return { pieces: writer.parts, length: writer.length }
}

/** What stands before the raw contents of a tensor. */
export const rawHead = (side: Side, bytes: number): Buffer => lengthOf(of[side].raw, bytes)

function packed(lengths: readonly number[]): Buffer {
  const bytes: number[] = []
  for (const length of lengths) {
    let rest = length
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
    bytes.push(rest)
  }
  return Buffer.from(bytes)
}

function writeParameters(writer: MessageWriter, field: number, parameters: Parameters): void {
  for (const [name, value] of parameters) {
    const parameter = new MessageWriter()
    if (typeof value === 'boolean') parameter.number(1, value)
    else if (typeof value === 'bigint') parameter.number(value >= 2n ** 63n ? 5 : 2, value)
    else if (typeof value === 'string') parameter.text(3, value)
    else parameter.double(4, value)
    writer.message(field, new MessageWriter().text(1, name).message(2, parameter))
  }
}

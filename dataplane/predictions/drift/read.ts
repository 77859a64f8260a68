import { onlyMessage } from '../../protocols/grpc_frames.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { UsageReader } from '../../protocols/usage.ts'
import { readMessage } from '../../tensors/grpc_message.ts'
import { readJson, type Side } from '../../tensors/read_json.ts'
import { elementsOf } from '../../tensors/tensor.ts'
import type { Part, Shown } from '../body.ts'
import { elementsIn, sizeOf, type Elements } from './tensors.ts'

/** Rows that are looked at of one request: a large batch must not stand for all the others. */
const rowsMax = 16
/** Numbers of a row that have a column each; more are one column, of their mean. */
const columnsMax = 32
/** Numbers that a mean is made of. */
const numbersMax = 256

/** Takes a row: its values by name, of which one that is null is missing. */
export type PutRow = (row: Iterable<readonly [name: string, value: unknown]>) => void

/** The rows of a request or an answer, as far as something is known of their form. */
export function readRows(side: Side, { type, jsonLength }: Part, { value, other }: Shown, put: PutRow): void {
  if (isRecord(value)) readObject(side, value, put)
  else if (other === undefined || other.length === 0) return
  else if (type?.startsWith('text/event-stream') === true) readUsage(other, put)
  else {
    const infer = isGrpc(type) ? ofFrame(side, other) : jsonLength === undefined ? undefined : ofBinary(side, other, Number(jsonLength))
    if (infer !== undefined) putTensors(infer.flatMap((tensor) => elementsIn(tensor) ?? []), put)
  }
}

function ofFrame(side: Side, body: Buffer) {
  const message = onlyMessage(body)
  const infer = message && readMessage(side, message)
  return infer === undefined || 'code' in infer ? undefined : infer.tensors
}

function ofBinary(side: Side, body: Buffer, length: number) {
  if (!(length > 0 && length <= body.length)) return undefined
  const infer = readJson(side, body.subarray(0, length), body.subarray(length))
  return 'code' in infer ? undefined : infer.tensors
}

function readObject(side: Side, value: Readonly<Record<string, unknown>>, put: PutRow): void {
  const tensors = value[side]
  if (Array.isArray(tensors) && tensors.length > 0 && tensors.every(isTensor)) {
    putTensors(tensors.flatMap((tensor) => elementsOfJson(tensor) ?? []), put)
    return
  }
  const rows = value[side === 'inputs' ? 'instances' : 'predictions']
  if (Array.isArray(rows)) for (const at of places(rows.length)) put(cells(rows[at]))
  else if (isRecord(tensors)) put(cells(tensors))
  else if (side === 'inputs' && ('messages' in value || 'prompt' in value)) put(askedOfText(value))
  else if (side === 'outputs' && ('choices' in value || 'usage' in value)) put(answeredByText(value))
  else put(cells(value))
}

/** The places of a few of so many, at even distances. */
function* places(count: number): Generator<number> {
  const few = Math.min(count, rowsMax)
  for (let i = 0; i < few; i++) yield Math.floor((i * count) / few)
}

/** A row of V1: a value, a list of them, or an object. */
function* cells(row: unknown): Generator<readonly [string, unknown]> {
  if (Array.isArray(row)) {
    if (row.length <= columnsMax && !row.some(Array.isArray)) for (const [i, value] of row.entries()) yield [String(i), scalar(value)]
    else yield ['values', meanOf(row)]
  } else if (isRecord(row)) {
    for (const [name, value] of Object.entries(row)) {
      if (Array.isArray(value) && value.length <= columnsMax && !value.some(Array.isArray)) for (const [i, one] of value.entries()) yield [`${name}/${i}`, scalar(one)]
      else if (!isRecord(value)) yield [name, scalar(value)]
    }
  } else yield ['value', row]
}

const scalar = (value: unknown): unknown => (Array.isArray(value) ? meanOf(value) : isRecord(value) ? undefined : value)

/** Of numbers in lists of any depth: the first ones. */
function meanOf(list: readonly unknown[]): number | undefined {
  let sum = 0
  let count = 0
  const open: (readonly unknown[])[] = [list]
  for (let items = open.pop(); items !== undefined && count < numbersMax; items = open.pop()) {
    for (const item of items.slice(0, numbersMax)) {
      if (Array.isArray(item)) open.push(item)
      else if (typeof item === 'number' && count < numbersMax) {
        sum += item
        count++
      }
    }
  }
  return count === 0 ? undefined : sum / count
}

function putTensors(tensors: readonly Elements[], put: PutRow): void {
  for (const row of places(Math.max(0, ...tensors.map(({ rows }) => rows)))) put(rowOf(tensors, row))
}

function* rowOf(tensors: readonly Elements[], row: number): Generator<readonly [string, unknown]> {
  for (const { name, rows, width, at } of tensors) {
    if (row >= rows) continue
    if (width === 1) yield [name, at(row)]
    else if (width <= columnsMax) for (let i = 0; i < width; i++) yield [`${name}/${i}`, at(row * width + i)]
    else yield [name, meanOf(Array.from({ length: Math.min(width, numbersMax) }, (_, i) => Number(at(row * width + i))))]
  }
}

type JsonTensor = Readonly<{ name: string; shape: readonly number[]; data: readonly unknown[] }>

const isTensor = (value: unknown): value is JsonTensor =>
  isRecord(value) && typeof value['name'] === 'string' && Array.isArray(value['shape']) && Array.isArray(value['data'])

/** V2 lets the data be nested as the shape is. */
function elementsOfJson({ name, shape, data }: JsonTensor): Elements | undefined {
  const count = elementsOf(shape)
  const flat = Array.isArray(data[0]) ? data.flat(shape.length) : data
  return count === undefined || flat.length !== count ? undefined : { name, ...sizeOf(shape, count), at: (index) => flat[index] }
}

/** Of a prompt its length, and what is asked of the one who writes. */
function* askedOfText(value: Readonly<Record<string, unknown>>): Generator<readonly [string, unknown]> {
  const { messages, prompt } = value
  yield ['prompt.characters', lengthOf(messages ?? prompt)]
  if (Array.isArray(messages)) yield ['messages', messages.length]
  for (const name of ['model', 'max_tokens', 'temperature', 'stream']) if (name in value) yield [name, scalar(value[name])]
}

function* answeredByText({ choices, usage }: Readonly<Record<string, unknown>>): Generator<readonly [string, unknown]> {
  const first: unknown = Array.isArray(choices) ? choices[0] : undefined
  if (isRecord(first)) {
    yield ['text.characters', lengthOf(first['message'] ?? first['text'])]
    yield ['finish_reason', scalar(first['finish_reason'])]
  }
  if (isRecord(usage)) for (const name of ['prompt_tokens', 'completion_tokens']) if (name in usage) yield [name, scalar(usage[name])]
}

/** Characters of all texts in it, but for the names of roles. */
function lengthOf(value: unknown, depth = 4): number {
  if (typeof value === 'string') return value.length
  if (depth === 0) return 0
  if (Array.isArray(value)) return (value as readonly unknown[]).slice(0, 1024).reduce((sum: number, one) => sum + lengthOf(one, depth - 1), 0)
  return isRecord(value) ? lengthOf(value['content'] ?? value['text'], depth - 1) : 0
}

/** A stream of events says at its end what it took. */
function readUsage(body: Buffer, put: PutRow): void {
  const reader = new UsageReader()
  reader.push(body)
  const usage = reader.usage()
  if (usage !== undefined) put([['prompt_tokens', usage.inputTokens], ['completion_tokens', usage.outputTokens]])
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

import { failure, type Failure } from '../pipeline/errors.ts'
import { membersOf } from '../protocols/json.ts'
import { brainTo } from './halves.ts'
import { shapeOf } from './shapes.ts'
import { Spans } from './spans.ts'
import { noParameters, type Tensor } from './tensor.ts'
import { Text } from './text.ts'
import { readTexts } from './texts.ts'
import { putNumbers } from './write_numbers.ts'

/** Embeddings as the OpenAI API has them: texts go in, and a list of numbers comes out for each. */

/** A request: its texts as BYTES, and what else it says. */
export type Inputs = Readonly<{ members: ReadonlyMap<string, unknown>; texts: Buffer; count: number }>

/** Beside the texts a request says little. Bytes. */
const memberMax = 65_536

export function readInputs(body: Buffer): Inputs | Failure {
  const found = membersOf(body)
  if (found === undefined) return unreadable
  const members = new Map<string, unknown>()
  for (const name of found.names()) {
    const [from, to] = found.place(name) ?? [0, 0]
    if (name === 'input') continue
    const value = to - from > memberMax ? undefined : found.value(name)
    if (value === undefined) return unreadable
    if (value !== null) members.set(name, value)
  }
  const [from, to] = found.place('input') ?? [0, 0]
  const { shape = [], kind = 'none' } = (to > from ? shapeOf(new Spans(body), from, to) : undefined) ?? {}
  if (kind === 'whole') return { ...failure('unsupported_translation', 'input: the backend takes text, and no numbers of tokens.'), param: 'input' }
  const [count = 1, ...more] = shape
  // A text alone is read as a list of it, whose brackets are what happens to stand around it.
  const texts = kind !== 'text' || more.length > 0 ? undefined : shape.length === 0 ? readTexts(body, from - 1, to + 1, 1) : readTexts(body, from, to, count)
  return texts === undefined ? wrongInput : { members, texts, count }
}

const unreadable = failure('invalid_request', 'The body is not one JSON object in UTF-8 with every member named once.')
const wrongInput: Failure = { ...failure('invalid_request', 'input is not a text or a list of texts.'), param: 'input' }

/** Any numbers with a fraction as FP32, of which each embedding has as many; undefined: they are something else. */
function floatsOf({ datatype, data }: Tensor): Float32Array | undefined {
  if (data === undefined) return undefined
  // A view begins where its size says, and data begins anywhere.
  const own = data.buffer.slice(data.byteOffset, data.byteOffset + data.length)
  if (datatype === 'FP32' && data.length % 4 === 0) return new Float32Array(own)
  if (datatype === 'FP64' && data.length % 8 === 0) return Float32Array.from(new Float64Array(own))
  if (datatype === 'FP16' && data.length % 2 === 0) return Float32Array.from(new Float16Array(own))
  return datatype === 'BF16' && data.length % 2 === 0 ? Float32Array.from(new Uint16Array(own), brainTo) : undefined
}

const unlike = failure('upstream_protocol', 'The backend did not answer with one list of numbers for each text.')
const noNumbers = failure('upstream_protocol', 'The embeddings of the backend hold what is no number, which JSON has no word for.')

/** The list `data` of an answer. @param base64 numbers as the bytes of FP32, little-endian */
export function writeEmbeddings([tensor]: readonly Tensor[], count: number, base64: boolean): Buffer | Failure {
  const floats = tensor && floatsOf(tensor)
  if (floats === undefined || floats.length % count !== 0) return unlike
  if (!base64 && !floats.every(Number.isFinite)) return noNumbers
  const bytes = Buffer.from(floats.buffer)
  const width = floats.length / count
  const text = new Text(floats.length * (base64 ? 6 : 20) + count * 64)
  text.put('[')
  for (let i = 0; i < count; i++) {
    text.put(`${i > 0 ? ',' : ''}{"object":"embedding","index":${i},"embedding":${base64 ? '"' : '['}`)
    if (base64) text.put(bytes.toString('base64', i * width * 4, (i + 1) * width * 4))
    else putNumbers['FP32']?.(text, bytes, i * width, (i + 1) * width)
    text.put(base64 ? '"}' : ']}')
  }
  return text.put(']').done()
}

/** An answer, as FP32 of shape [texts, numbers of each]; beside it `num_input_tokens`, where it says so. */
export function readEmbeddings(body: Buffer, count: number): readonly Tensor[] | Failure {
  const answer = parsed(body)
  const data = own(answer, 'data')
  if (!Array.isArray(data) || data.length !== count) return unlike
  const rows: (Buffer | undefined)[] = Array.from({ length: count }, () => undefined)
  for (const [i, one] of (data as readonly unknown[]).entries()) {
    const index = own(one, 'index') ?? i
    const row = rowOf(own(one, 'embedding'))
    if (typeof index !== 'number' || !(index in rows) || rows[index] !== undefined || row === undefined) return unlike
    rows[index] = row
  }
  const whole = rows.filter((row) => row !== undefined)
  const width = whole[0]?.length ?? 0
  if (whole.some(({ length }) => length !== width)) return unlike
  const tensors: Tensor[] = [{ name: 'embedding', datatype: 'FP32', shape: [count, width / 4], parameters: noParameters, data: Buffer.concat(whole) }]
  const tokens = own(own(answer, 'usage'), 'prompt_tokens')
  if (typeof tokens === 'number' && tokens >= 0 && tokens < 2 ** 32) {
    tensors.push({ name: 'num_input_tokens', datatype: 'UINT32', shape: [1], parameters: noParameters, data: Buffer.from(Uint32Array.of(tokens).buffer) })
  }
  return tensors
}

function rowOf(embedding: unknown): Buffer | undefined {
  if (typeof embedding === 'string') {
    const bytes = Buffer.from(embedding, 'base64')
    return bytes.length % 4 === 0 ? bytes : undefined
  }
  if (!Array.isArray(embedding) || !embedding.every((one) => typeof one === 'number')) return undefined
  return Buffer.from(Float32Array.from(embedding).buffer)
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

function own(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined
}

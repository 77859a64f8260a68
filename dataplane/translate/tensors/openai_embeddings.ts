import { failure, type Failure } from '../../pipeline/errors.ts'
import { noParameters, widths, type Infer, type Tensor } from '../../tensors/tensor.ts'
import { readInputs, writeEmbeddings } from '../../tensors/work.ts'
import { refusal } from '../text/openai_form.ts'
import { inexpressible, invalid } from '../text/members.ts'
import type { Asked, Generated } from '../translation.ts'
import type { Said } from '../unary.ts'
import { fitting, theOne } from './choice.ts'
import type { Caller, ModelInfo, Reply, TensorInfo, Understood } from './question.ts'

/**
 * Embeddings of the OpenAI API, of a model that takes texts and gives numbers with a fraction: its only input of BYTES, and
 * its only output of a floating-point datatype. Where it has several, those that are called as models usually call them.
 */
export const understandEmbeddings: (asked: Asked, describe: Parameters<Caller>[1]) => Promise<Understood | Failure> = async ({ body, model: as, generated }, describe) => {
  const read = await readInputs(body)
  if ('code' in read) return read
  const { members, texts, count } = read
  const name = members.get('model') ?? as?.name
  if (typeof name !== 'string' || name === '') return invalid('model', 'is missing.')
  const format = members.get('encoding_format') ?? 'float'
  if (format !== 'float' && format !== 'base64') return invalid('encoding_format', 'is neither float nor base64.')
  const dimensions = members.get('dimensions')
  if (dimensions !== undefined && !(typeof dimensions === 'number' && Number.isSafeInteger(dimensions) && dimensions > 0)) return invalid('dimensions', 'is not a whole number from 1 on.')
  const unknown = [...members.keys()].find((member) => !known.has(member))
  if (unknown !== undefined) return inexpressible(unknown, 'the backend does not speak OpenAI, and cannot be told this.')
  if (count === 0) return invalid('input', 'is empty.')
  const terms = termsOf(await describe(name, ''), count)
  if ('code' in terms) return terms
  const tensors: Tensor[] = [{ name: terms.input, datatype: 'BYTES', shape: terms.shape, parameters: noParameters, data: texts }]
  if (dimensions !== undefined && dimensions !== terms.width) {
    if (terms.dimensions === undefined) return inexpressible('dimensions', 'the model gives as many as it gives.')
    tensors.push(wholeNumber(terms.dimensions, dimensions))
  }
  const infer: Infer = { model: name, version: '', id: '', parameters: noParameters, tensors, outputs: terms.outputs.map((output) => ({ name: output, parameters: noParameters })) }
  return { question: { ask: 'infer', infer }, say: (reply) => sayEmbeddings(reply, { model: name, count, base64: format === 'base64', width: dimensions, generated }) }
}

const known = new Set(['model', 'encoding_format', 'dimensions'])

type Terms = Readonly<{ input: string; shape: readonly number[]; /** Of the model, which are asked for; none: all. */ outputs: readonly string[]; width: number | undefined; dimensions: TensorInfo | undefined }>

const inputNames = ['text_input', 'input', 'text', 'texts', 'sentences', 'prompt']
const outputNames = ['embedding', 'embeddings', 'sentence_embedding', 'text_embedding', 'output']
/** Where the model says how many tokens it took. */
const countName = 'num_input_tokens'
const floats = new Set(['FP32', 'FP64', 'FP16', 'BF16'])

/** What the model says of itself decides; one that says nothing is sent one dimension of texts, as `text_input`. */
function termsOf(info: ModelInfo | undefined, count: number): Terms | Failure {
  const none = { input: 'text_input', shape: [count], outputs: [], width: undefined, dimensions: undefined }
  if (info === undefined || info.inputs.length === 0) return none
  const input = theOne(info.inputs.filter(({ datatype }) => datatype === 'BYTES'), inputNames)
  const output = theOne(info.outputs.filter(({ datatype }) => floats.has(datatype)), outputNames)
  if (input === undefined) return inexpressible('model', 'it has no input of its own for text (BYTES).')
  if (output === undefined) return inexpressible('model', 'it has no output of its own for embeddings (FP32).')
  const shape = fitting(input.shape, count)
  if (shape === undefined) return inexpressible('input', 'the model takes one text a request.')
  const counted = info.outputs.some(({ name, datatype }) => name === countName && integers.has(datatype))
  return {
    input: input.name, shape, outputs: counted ? [output.name, countName] : [output.name], width: output.shape.at(-1),
    dimensions: info.inputs.find(({ name, datatype }) => name === 'dimensions' && integers.has(datatype)),
  }
}

const integers: ReadonlyMap<string, (value: number) => Buffer> = new Map([
  ['INT64', (value) => Buffer.from(BigInt64Array.of(BigInt(value)).buffer)], ['UINT64', (value) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer)],
  ['INT32', (value) => Buffer.from(Int32Array.of(value).buffer)], ['UINT32', (value) => Buffer.from(Uint32Array.of(value).buffer)],
])

const wholeNumber = ({ name, datatype, shape }: TensorInfo, value: number): Tensor =>
  ({ name, datatype, shape: shape.map(() => 1), parameters: noParameters, data: integers.get(datatype)?.(value) })

type Wish = Readonly<{ model: string; count: number; base64: boolean; width: number | undefined; generated: Generated }>

async function sayEmbeddings(reply: Reply, { model, count, base64, width, generated }: Wish): Promise<Said | Failure> {
  if (reply.reply === 'error') return refusal(reply.status, reply.message)
  if (reply.reply !== 'infer') return other
  const { tensors } = reply.infer
  const tensor = theOne(tensors.filter(({ datatype }) => floats.has(datatype)), outputNames)
  const elements = (tensor?.data?.length ?? 0) / (widths.get(tensor?.datatype ?? '') ?? 1)
  if (tensor === undefined || !isByText(tensor.shape, count) || (width !== undefined && elements !== width * count)) return other
  const data = await writeEmbeddings(tensor, count, base64)
  if ('code' in data) return data
  const inputTokens = totalOf(tensors.find(({ name }) => name === countName))
  if (inputTokens !== undefined) generated.usage = { inputTokens, outputTokens: 0 }
  const usage = inputTokens === undefined ? {} : { usage: { prompt_tokens: inputTokens, total_tokens: inputTokens } }
  const body = [Buffer.from('{"object":"list","data":'), data, Buffer.from(`,${JSON.stringify({ model, ...usage }).slice(1)}`)]
  return { status: 200, headers: ['content-type', 'application/json', 'content-length', String(body.reduce((sum, { length }) => sum + length, 0))], body }
}

const other = failure('upstream_protocol', 'The backend did not answer with one list of numbers for each text.')

/** All dimensions but the last are for the texts; of one text there may be none. */
const isByText = (shape: readonly number[], count: number) => shape.slice(0, -1).reduce((product, length) => product * length, 1) === count && shape.length > 0

function totalOf(tensor: Tensor | undefined): number | undefined {
  const { datatype = '', data } = tensor ?? {}
  const width = widths.get(datatype)
  if (data === undefined || width === undefined || !integers.has(datatype)) return undefined
  let total = 0
  for (let at = 0; at + width <= data.length; at += width) total += data.readUIntLE(at, Math.min(width, 6))
  return total
}

import { failure, type Failure } from '../../pipeline/errors.ts'
import { noParameters, type Infer, type Parameters, type Tensor } from '../../tensors/tensor.ts'
import { readEmbeddings, writeRows } from '../../tensors/work.ts'
import type { Ask, Piece } from '../text/ask.ts'
import { wishesIn } from '../text/generate_ask.ts'
import { inexpressible } from '../text/members.ts'
import { openAICompletionServer } from '../text/openai_server.ts'
import type { Put } from '../translation.ts'
import type { Reply } from './question.ts'
import { elementsIn, lengthOf, textsAs, textsIn } from './values.ts'

/**
 * Inferences that a server of the OpenAI API can do: those of texts. A tensor of BYTES that is called as Triton's backend for
 * vLLM has it (or is the only one that V1 gives no name) is a prompt to complete, and one called `input` is to be embedded;
 * what stands beside it, a tensor of one element or a parameter, is a parameter of sampling.
 */
export function putText(infer: Infer): Put | Failure | Promise<Put | Failure> {
  const embedded = textsNamed(infer, toEmbed)
  if (embedded !== undefined) return putEmbeddings(infer, embedded)
  const ask = askIn(infer)
  if ('code' in ask) return ask
  const unknown = infer.outputs.find(({ name }) => !told.has(name))
  return unknown === undefined ? openAICompletionServer.request(ask, undefined) : inexpressible(unknown.name, 'a server of the OpenAI API has no such output.')
}

export async function readText(infer: Infer, body: Buffer): Promise<Reply | Failure> {
  const embedded = textsNamed(infer, toEmbed)
  if (embedded !== undefined) return await readEmbedded(infer, embedded, body)
  const ask = askIn(infer)
  if ('code' in ask) return ask
  const reader = openAICompletionServer.reader(ask)
  reader.push(body)
  const pieces = reader.end([])
  return pieces === undefined ? failure('upstream_protocol', 'It is no completion.') : completed(infer, ask, pieces)
}

const toComplete = new Set(['text_input', 'prompt', 'input-0'])
const toEmbed = new Set(['input', 'text', 'texts', 'sentences'])

/** What V2 has no words of its own for goes by the names of Triton's backend for vLLM. */
const told = new Set(['text_output', 'finish_reason', 'num_input_tokens', 'num_output_tokens'])
const embeddings = new Set(['embedding', 'embeddings', 'sentence_embedding', 'text_embedding', 'output'])

const textsNamed = ({ tensors }: Infer, names: ReadonlySet<string>): Tensor | undefined => tensors.find(({ name, datatype }) => datatype === 'BYTES' && names.has(name))

function askIn(infer: Infer): Ask | Failure {
  const prompt = textsNamed(infer, toComplete)
  const prompts = prompt && textsIn(prompt)
  if (prompt === undefined || prompts === undefined || prompts.length === 0) return inexpressible('inputs', 'a server of the OpenAI API takes text: BYTES called text_input, or input for embeddings.')
  const beside = valuesBeside(infer, prompt, prompts.length)
  if ('code' in beside) return beside
  const found = wishesIn(beside)
  if ('code' in found) return found
  const { sampling, wishes } = found
  const asked = new Set(infer.outputs.map(({ name }) => name))
  return {
    model: infer.model, version: infer.version || undefined, prompts, member: prompt.name, sampling, stream: false, id: infer.id,
    usage: wishes.get('return_num_output_tokens') === true || wishes.get('return_num_input_tokens') === true || asked.has('num_output_tokens') || asked.has('num_input_tokens'),
    finish: wishes.get('return_finish_reason') === true || asked.has('finish_reason'), echo: wishes.get('exclude_input_in_output') === false,
  }
}

function completed(infer: Infer, ask: Ask, pieces: readonly Piece[]): Reply {
  const texts = ask.prompts.map(() => '')
  const ends = ask.prompts.map(() => 'stop')
  let usage: Extract<Reply, { reply: 'infer' }>['usage']
  for (const piece of pieces) {
    if (piece.kind === 'fault') return { reply: 'error', status: 500, message: piece.message }
    if (piece.kind === 'usage') usage = piece.usage
    else {
      texts[piece.prompt] += piece.text
      if (piece.finish !== undefined) ends[piece.prompt] = piece.finish
    }
  }
  const { shape = [] } = textsNamed(infer, toComplete) ?? {}
  const tensors = [textsAs('text_output', shape, texts)]
  if (ask.finish) tensors.push(textsAs('finish_reason', shape, ends))
  if (ask.usage && usage !== undefined) tensors.push(count('num_input_tokens', usage.inputTokens), count('num_output_tokens', usage.outputTokens))
  return { reply: 'infer', infer: { ...answerOf(infer), tensors: asked(infer, tensors) }, ...(usage && { usage }) }
}

const answerOf = ({ model, version, id }: Infer) => ({ model, version, id, parameters: noParameters, outputs: [] })

/** Those that are asked for, in their order; all of them, where none is named. */
const asked = ({ outputs }: Infer, tensors: readonly Tensor[]): readonly Tensor[] =>
  outputs.length === 0 ? tensors : outputs.flatMap(({ name }) => tensors.filter((tensor) => tensor.name === name))

const count = (name: string, value: number): Tensor =>
  ({ name, datatype: 'UINT32', shape: [1], parameters: noParameters, data: Buffer.from(Uint32Array.of(value).buffer) })

async function putEmbeddings(infer: Infer, texts: Tensor): Promise<Put | Failure> {
  if (infer.model === '') return inexpressible('model', 'it is not named.')
  if (infer.version !== '') return inexpressible('version', 'the OpenAI API knows models by their name alone.')
  const length = lengthOf(texts)
  const beside = valuesBeside(infer, texts, length)
  if ('code' in beside) return beside
  const unknown = beside.find(([name]) => name !== 'dimensions')?.[0] ?? infer.outputs.find(({ name }) => !embeddings.has(name) && name !== 'num_input_tokens')?.name
  if (unknown !== undefined) return inexpressible(unknown, 'an embedding of the OpenAI API has no such thing.')
  const written = await writeRows('input', [{ ...texts, shape: [length] }], false)
  if ('code' in written) return written
  const members = JSON.stringify({ model: infer.model, encoding_format: 'base64', ...Object.fromEntries(beside) })
  return { method: 'POST', path: '/v1/embeddings', headers: ['content-type', 'application/json', 'accept', 'application/json'], body: [Buffer.from(`${members.slice(0, -1)},`), written.subarray(1)] }
}

async function readEmbedded(infer: Infer, texts: Tensor, body: Buffer): Promise<Reply | Failure> {
  const tensors = await readEmbeddings(body, lengthOf(texts))
  if ('code' in tensors) return tensors
  const [embedding, tokens] = tensors
  const name = infer.outputs.find((output) => embeddings.has(output.name))?.name ?? 'embedding'
  const named = embedding === undefined ? [] : [{ ...embedding, name }]
  const wanted = infer.outputs.some((output) => output.name === 'num_input_tokens') && tokens !== undefined ? [...named, tokens] : named
  return { reply: 'infer', infer: { ...answerOf(infer), tensors: asked(infer, wanted) }, ...(tokens?.data && { usage: { inputTokens: tokens.data.readUInt32LE(), outputTokens: 0 } }) }
}

/** What is said beside the texts, the same for all of them. */
function valuesBeside({ tensors, parameters }: Infer, texts: Tensor, rows: number): readonly (readonly [name: string, value: unknown])[] | Failure {
  const values: (readonly [name: string, value: unknown])[] = [...parameters].map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value])
  for (const tensor of tensors) {
    if (!isPlain(tensor.parameters) || tensor.data === undefined) return inexpressible(tensor.name, 'the backend speaks another protocol, and cannot be told its parameters.')
    if (tensor === texts) continue
    const elements = elementsIn(tensor)
    if (elements === undefined) return inexpressible(tensor.name, 'the backend speaks another protocol, and cannot be told this.')
    const each = rows > 1 && tensor.shape[0] === rows ? elements.length / rows : elements.length
    const value = elements.slice(0, each)
    if (elements.some((element, at) => element !== value[at % each])) return inexpressible(tensor.name, 'the backend takes one for all texts.')
    values.push([tensor.name, value.length === 1 ? value[0] : value])
  }
  return values
}

/** Seldon's way to say that BYTES are text. */
const isPlain = (parameters: Parameters) => [...parameters].every(([name, value]) => name === 'content_type' && value === 'str')

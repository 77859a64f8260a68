import type { Failure } from '../../pipeline/errors.ts'
import { pathOfV2 } from '../../protocols/v2.ts'
import { readJson } from '../../tensors/read_json.ts'
import type { Infer, Tensor } from '../../tensors/tensor.ts'
import { errorIn } from '../rest.ts'
import { fitting, theOne } from '../tensors/choice.ts'
import { replyTo, type ModelInfo, type Server as TensorServer } from '../tensors/question.ts'
import { elementsIn, textsIn } from '../tensors/values.ts'
import type { Asked } from '../translation.ts'
import type { Ask, Piece, PieceReader, Server } from './ask.ts'
import { generateServer } from './generate_server.ts'
import { inexpressible } from './members.ts'
import { wholeReader } from './whole.ts'

/** How a model of V2 writes text: by the generate extension where it has an input `text_input`, or says nothing; else by an inference. */
export const serverOfV2 = (describer: TensorServer) => async (ask: Ask, asked: Asked): Promise<Server> => {
  const [name, version] = [asked.model?.name ?? ask.model, asked.model?.version ?? ask.version ?? '']
  const reply = name === '' ? undefined : await replyTo(asked, describer, { ask: 'model', name, version })
  if (reply?.reply !== 'model' || reply.model.inputs.some((input) => input.name === 'text_input')) return generateServer
  return inferServer(reply.model)
}

const inputNames = ['prompt', 'input', 'text', 'prompts', 'inputs', 'texts']
const outputNames = ['text_output', 'output', 'text', 'generated_text', 'completion']
/** What is said of the text, where the model has such outputs: as Triton's backend for vLLM calls it. */
const beside = ['finish_reason', 'num_input_tokens', 'num_output_tokens']

/**
 * A model that takes texts (BYTES) and gives texts, one for each. Parameters of sampling are parameters of the request, or
 * go to inputs that are called so.
 */
function inferServer(info: ModelInfo): Server {
  const input = theOne(info.inputs.filter(({ datatype }) => datatype === 'BYTES'), inputNames)
  const texts = info.outputs.filter(({ name, datatype }) => datatype === 'BYTES' && !beside.includes(name))
  const output = theOne(texts, outputNames)
  const others = info.outputs.filter(({ name }) => beside.includes(name)).map(({ name }) => name)
  return {
    name: undefined,
    request(ask, model) {
      if (ask.stream) return inexpressible('stream', 'the model has no stream of text: it has no input text_input.')
      if (ask.echo) return inexpressible('echo', 'the model does not say whether the prompt stands before the answer.')
      if (input === undefined && info.inputs.length > 0) return inexpressible('model', 'it has no input of its own for text (BYTES).')
      if (output === undefined && info.outputs.length > 0) return inexpressible('model', 'it has no output of its own for text (BYTES).')
      const shape = fitting(input?.shape ?? [-1], ask.prompts.length)
      if (shape === undefined) return inexpressible(ask.member, 'the model takes one prompt a request.')
      const inputs: object[] = [{ name: input?.name ?? 'text_input', shape, datatype: 'BYTES', data: ask.prompts }]
      const parameters = parametersIn(ask, info, inputs)
      if ('code' in parameters) return parameters
      const body = {
        ...(ask.id !== '' && { id: ask.id }), ...(parameters.size > 0 && { parameters: Object.fromEntries(parameters) }), inputs,
        ...(output !== undefined && { outputs: [output.name, ...others].map((name) => ({ name })) }),
      }
      return {
        method: 'POST', path: pathOfV2(model?.name ?? ask.model, model?.version ?? ask.version, '/infer'), headers: ['content-type', 'application/json', 'accept', 'application/json'],
        body: [Buffer.from(JSON.stringify(body))],
      }
    },
    reader: ({ prompts }) => inferReader(prompts.length, output?.name),
    error: errorIn,
  }
}

function parametersIn({ sampling }: Ask, info: ModelInfo, inputs: object[]): Map<string, unknown> | Failure {
  const parameters = new Map<string, unknown>()
  for (const [name, value] of sampling) {
    const own = info.inputs.find((one) => one.name === name)
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (own !== undefined) inputs.push({ name, datatype: own.datatype, shape: [...own.shape.slice(1).map(() => 1), values.length], data: values })
    else if (values.length > 1) return inexpressible(name, 'the backend takes one text to stop at.')
    else parameters.set(name, values[0])
  }
  return parameters
}

function inferReader(prompts: number, output: string | undefined): PieceReader {
  return wholeReader((body) => {
    const infer = readJson('outputs', body, Buffer.alloc(0))
    return 'code' in infer ? undefined : piecesOf(infer, prompts, output)
  })
}

function piecesOf({ tensors }: Infer, prompts: number, output: string | undefined): readonly Piece[] | undefined {
  const named = (name: string): Tensor | undefined => tensors.find((one) => one.name === name)
  const tensor = output === undefined ? theOne(tensors.filter(({ datatype }) => datatype === 'BYTES'), outputNames) : named(output)
  const texts = tensor && textsIn(tensor)
  if (texts?.length !== prompts) return undefined
  const reasons = named('finish_reason')
  const ends = reasons && elementsIn(reasons)
  const pieces: Piece[] = texts.map((text, prompt) => ({ kind: 'text', prompt, text, finish: textOf(ends?.[prompt]) }))
  const [input, written] = ['num_input_tokens', 'num_output_tokens'].map((name) => sumOf(named(name)))
  return input === undefined && written === undefined ? pieces : [...pieces, { kind: 'usage', usage: { inputTokens: input ?? 0, outputTokens: written ?? 0 } }]
}

const textOf = (value: unknown): string | undefined => typeof value === 'string' ? value : undefined

function sumOf(tensor: Tensor | undefined): number | undefined {
  const values = tensor && elementsIn(tensor)
  return values?.reduce((sum: number, value) => sum + (typeof value === 'number' ? value : 0), 0)
}

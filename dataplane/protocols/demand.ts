import type { Members } from './json.ts'
import { namesModelInBody } from './openai.ts'
import { modelOf } from './path.ts'

/** What a request asks of a model, as far as that can be told before it is answered. */
export type Demand = Readonly<{
  /** Instances (V1), or the first dimension of the inputs (V2). */
  rows: number
  /** Of all inputs together. */
  tensorElements: number
  /** Of the prompt, at most: no tokenizer makes more than one of a byte. */
  inputTokens: number
  /** The most that the answer may have; undefined where the request sets no bound. */
  maxTokens: number | undefined
}>

/** Nothing that a model would do. */
export const noDemand: Demand = { rows: 0, tensorElements: 0, inputTokens: 0, maxTokens: 0 }

/** Of an image in a prompt, whatever its bytes: what common models make of a large one. */
const IMAGE_TOKENS = 1500
/** What a chat template adds to a message, and to the whole. */
const FRAME_TOKENS = 4

/** @returns undefined where the body is not what its path says, so that a server might read something else in it */
export function demandOf(path: string, members: Members): Demand | undefined {
  if (namesModelInBody(path)) return demandOfOpenAI(path, members)
  const named = modelOf(path)
  if (named?.protocol === 'V1') return demandOfV1(members)
  if (named?.protocol === 'V2') return named.rest.startsWith('/generate') ? demandOfGenerate(members) : demandOfV2(members)
  return noDemand
}

function demandOfOpenAI(path: string, members: Members): Demand {
  const prompt = ['messages', 'prompt', 'input', 'instructions', 'tools', 'functions', 'query', 'documents', 'response_format']
  const inputTokens = prompt.reduce((sum, name) => sum + tokensOf(members.value(name)), FRAME_TOKENS)
  const answers = Math.max(countOf(members.value('n')) ?? 1, countOf(members.value('best_of')) ?? 1, 1)
  const bound = ['max_completion_tokens', 'max_tokens', 'max_output_tokens'].map((name) => countOf(members.value(name)))
  const given = bound.filter((one) => one !== undefined)
  const generates = /\/(?:completions|responses)(?:\/|$)/.test(path)
  const maxTokens = given.length > 0 ? Math.max(...given) * answers : undefined
  return { rows: answers, tensorElements: 0, inputTokens, maxTokens: generates ? maxTokens : 0 }
}

/** Triton's generate endpoints; the bound of a backend such as vLLM's stands among the parameters, or beside the text. */
function demandOfGenerate(members: Members): Demand {
  const parameters = members.value('parameters')
  const inner: unknown = isRecord(parameters) ? parameters['max_tokens'] : undefined
  return {
    rows: 1, tensorElements: 0, inputTokens: tokensOf(members.value('text_input')), maxTokens: countOf(members.value('max_tokens')) ?? countOf(inner),
  }
}

function demandOfV2(members: Members): Demand | undefined {
  const inputs = members.value('inputs')
  if (!Array.isArray(inputs)) return inputs === undefined ? noDemand : undefined
  let [rows, tensorElements] = [0, 0]
  for (const input of inputs as readonly unknown[]) {
    const shape: unknown = isRecord(input) ? input['shape'] : undefined
    if (!Array.isArray(shape) || !shape.every((length) => countOf(length) !== undefined)) return undefined
    const lengths = shape as readonly number[]
    rows = Math.max(rows, lengths[0] ?? 1)
    tensorElements += lengths.reduce((product, length) => product * length, 1)
  }
  return { ...noDemand, rows, tensorElements }
}

/** `instances`, or `inputs` by column (TensorFlow Serving has both). */
function demandOfV1(members: Members): Demand | undefined {
  const instances = members.value('instances') ?? members.value('examples')
  if (Array.isArray(instances)) return { ...noDemand, rows: instances.length, tensorElements: scalarsIn(instances) }
  const inputs = members.value('inputs')
  if (inputs === undefined) return noDemand
  const columns: readonly unknown[] = isRecord(inputs) ? Object.values(inputs) : [inputs]
  const rows = Math.max(0, ...columns.map((column) => (Array.isArray(column) ? column.length : 1)))
  return { ...noDemand, rows, tensorElements: scalarsIn(inputs) }
}

function scalarsIn(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + scalarsIn(one), 0)
  if (isRecord(value)) return Object.values(value).reduce((sum: number, one) => sum + scalarsIn(one), 0)
  return 1
}

/** Text by its bytes, token ids by their number. JSON.parse bounds how deep it goes. */
function tokensOf(value: unknown): number {
  if (typeof value === 'string') return value.startsWith('data:') ? IMAGE_TOKENS : Buffer.byteLength(value)
  if (typeof value === 'number') return 1
  if (Array.isArray(value)) return value.reduce((sum: number, one) => sum + tokensOf(one), 0)
  if (!isRecord(value)) return 0
  const own = 'role' in value ? FRAME_TOKENS : 0
  return Object.entries(value).reduce((sum, [name, one]) => sum + name.length + tokensOf(one), own)
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

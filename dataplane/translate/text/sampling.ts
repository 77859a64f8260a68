import { failure, type Failure } from '../../pipeline/errors.ts'

type Value = string | number | boolean | readonly string[]

/** How the next token is chosen and when to end, by the names that OpenAI and vLLM have for it. Only `stop` is a list. */
export type Sampling = ReadonlyMap<string, Value>

type Kind = 'count' | 'integer' | 'number' | 'boolean' | 'texts'

const kinds: ReadonlyMap<string, Kind> = new Map([
  ['max_tokens', 'count'], ['min_tokens', 'count'], ['seed', 'integer'], ['top_k', 'integer'], ['temperature', 'number'], ['top_p', 'number'],
  ['min_p', 'number'], ['presence_penalty', 'number'], ['frequency_penalty', 'number'], ['repetition_penalty', 'number'], ['stop', 'texts'],
  ['ignore_eos', 'boolean'], ['skip_special_tokens', 'boolean'],
])

/** Other names of the same: OpenAI's newer one, and TensorRT-LLM's. */
const names: ReadonlyMap<string, string> = new Map([['max_completion_tokens', 'max_tokens'], ['stop_words', 'stop'], ['random_seed', 'seed']])

const wanted: Readonly<Record<Kind, string>> = {
  count: 'a whole number from 0 on', integer: 'a whole number', number: 'a number', boolean: 'true or false', texts: 'a text or a list of texts',
}

/**
 * Takes a member of a request for a parameter of sampling, where it is one.
 * @returns true: it was; false: it is something else; or what is wrong with it
 */
export function takeSampling(into: Map<string, Value>, member: string, value: unknown): boolean | Failure {
  const name = names.get(member) ?? member
  const kind = kinds.get(name)
  if (kind === undefined) return false
  const taken = valueOfKind(kind, value)
  if (taken === undefined) return { ...failure('invalid_request', `${member} is not ${wanted[kind]}.`), param: member }
  const before = into.get(name)
  if (before !== undefined && JSON.stringify(before) !== JSON.stringify(taken)) {
    return { ...failure('invalid_request', `${member} says something else than another name of it does.`), param: member }
  }
  // Without a text to stop at it is as if nothing were said.
  if (!Array.isArray(taken) || taken.length > 0) into.set(name, taken)
  return true
}

function valueOfKind(kind: Kind, value: unknown): Value | undefined {
  if (kind === 'texts') {
    if (typeof value === 'string') return [value]
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : undefined
  }
  if (kind === 'boolean') return typeof value === 'boolean' ? value : undefined
  if (typeof value !== 'number' || (kind !== 'number' && !Number.isSafeInteger(value)) || (kind === 'count' && value < 0)) return undefined
  return value
}

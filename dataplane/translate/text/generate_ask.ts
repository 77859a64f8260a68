import type { Failure } from '../../pipeline/errors.ts'
import { modelOfV2 } from '../../protocols/v2.ts'
import type { Asked } from '../translation.ts'
import type { Ask } from './ask.ts'
import { inexpressible, invalid, isRecord, membersIn, parsed } from './members.ts'
import { takeSampling, type Sampling } from './sampling.ts'

/** What is asked by Triton's `generate` or `generate_stream`, in the words of its backend for vLLM. */
export function askOfGenerate({ path, body }: Pick<Asked, 'path' | 'body'>): Ask | Failure {
  const named = modelOfV2(path)
  const members = membersIn(body)
  if ('code' in members) return members
  const prompt = members.get('text_input')
  if (typeof prompt !== 'string') return invalid('text_input', 'is not a text.')
  const id = members.get('id') ?? ''
  if (typeof id !== 'string') return invalid('id', 'is not a text.')
  const given = members.get('parameters') ?? {}
  if (!isRecord(given)) return invalid('parameters', 'is not an object.')
  const found = wishesIn([...members].filter(([name]) => !frame.has(name)), Object.entries(given))
  if ('code' in found) return found
  const { sampling, wishes } = found
  return {
    model: named?.name ?? '', version: named?.version, prompts: [prompt], member: 'text_input', sampling, stream: named?.rest === '/generate_stream', id,
    usage: wishes.get('return_num_output_tokens') === true || wishes.get('return_num_input_tokens') === true, finish: wishes.get('return_finish_reason') === true,
    echo: wishes.get('exclude_input_in_output') === false,
  }
}

const frame = new Set(['id', 'text_input', 'parameters'])

/** What may be asked of an answer. Those that are none of ours may be there, as long as they ask for nothing. */
const asked = new Set(['stream', 'exclude_input_in_output', 'return_finish_reason', 'return_num_input_tokens', 'return_num_output_tokens'])
const declined = new Set(['return_cumulative_logprob', 'return_logprobs'])

type Wishes = Readonly<{ sampling: Sampling; wishes: ReadonlyMap<string, boolean> }>

/** What stands beside the prompt, and among the parameters: the same to the server. */
export function wishesIn(...lists: readonly (readonly (readonly [name: string, value: unknown])[])[]): Wishes | Failure {
  const sampling = new Map<string, string | number | boolean | readonly string[]>()
  const wishes = new Map<string, boolean>()
  for (const [name, value] of lists.flat()) {
    if (value === null) continue
    if (asked.has(name) || declined.has(name)) {
      if (typeof value !== 'boolean') return invalid(name, 'is not true or false.')
      if (value && declined.has(name)) return inexpressible(name, 'the backend speaks another protocol, and does not say this.')
      wishes.set(name, value)
      continue
    }
    const taken = name === 'sampling_parameters' ? takeAll(sampling, value) : takeSampling(sampling, name, value)
    if (taken === false) return inexpressible(name, 'the backend speaks another protocol, and cannot be told this.')
    if (taken !== true) return taken
  }
  return { sampling, wishes }
}

/** Parameters of vLLM, as JSON in a text. */
function takeAll(sampling: Map<string, string | number | boolean | readonly string[]>, text: unknown): true | Failure {
  const object = typeof text === 'string' ? parsed(text) : undefined
  if (!isRecord(object)) return invalid('sampling_parameters', 'is not an object in JSON.')
  for (const [name, value] of Object.entries(object)) {
    const taken = value === null || takeSampling(sampling, name, value)
    if (taken === false) return inexpressible(`sampling_parameters/${name}`, 'the backend speaks another protocol, and cannot be told this.')
    if (taken !== true) return taken
  }
  return true
}

import type { Failure } from '../../pipeline/errors.ts'
import type { Asked } from '../translation.ts'
import type { Ask } from './ask.ts'
import { inexpressible, invalid, isRecord, membersIn, own } from './members.ts'
import { transcriptOf } from './transcript.ts'
import { takeSampling } from './sampling.ts'

/**
 * What a completion or a chat completion of the OpenAI API asks for. Whatever a model that only continues a text cannot be
 * told is refused, by its name; what says the same as nothing at all passes.
 */
export function askOfOpenAI({ path, body }: Pick<Asked, 'path' | 'body'>): Ask | Failure {
  const chat = path.endsWith('/chat/completions')
  const members = membersIn(body)
  if ('code' in members) return members
  const sampling = new Map<string, string | number | boolean | readonly string[]>()
  for (const [name, value] of members) {
    const taken = takeSampling(sampling, name, value)
    if (taken === true) continue
    if (taken !== false) return taken
    const known = (chat ? chatMembers : completionMembers).get(name)
    if (known === undefined) return inexpressible(name, 'the backend does not speak OpenAI, and cannot be told this.')
    if (!known(value)) return inexpressible(name, 'the backend does not speak OpenAI, and cannot do what this asks for.')
  }
  const [model, stream, options] = [members.get('model') ?? '', members.get('stream') ?? false, members.get('stream_options')]
  if (typeof model !== 'string') return invalid('model', 'is not a text.')
  if (typeof stream !== 'boolean') return invalid('stream', 'is not true or false.')
  const member = chat ? 'messages' : 'prompt'
  const prompt = chat ? transcriptOf(members.get('messages')) : promptIn(members.get('prompt'))
  if (typeof prompt === 'object' && 'code' in prompt) return prompt
  return {
    model, version: undefined, prompts: typeof prompt === 'string' ? [prompt] : prompt, member, sampling, stream, usage: !stream || own(options, 'include_usage') === true, finish: true,
    echo: members.get('echo') === true, id: '',
  }
}

function promptIn(prompt: unknown): readonly string[] | Failure {
  if (typeof prompt === 'string') return [prompt]
  if (!Array.isArray(prompt) || prompt.length === 0) return invalid('prompt', 'is not a text.')
  const texts: readonly unknown[] = prompt
  return texts.every((one) => typeof one === 'string') ? texts : inexpressible('prompt', 'the backend takes text, and no numbers of tokens.')
}

type Test = (value: unknown) => boolean
const any: Test = () => true
const no: Test = (value) => value === false
const one: Test = (value) => value === 1
const none: Test = (value) => (Array.isArray(value) ? value : isRecord(value) ? Object.keys(value) : [0]).length === 0

/** What may be said beside sampling, and what it may say. */
const both: readonly (readonly [string, Test])[] = [
  ['model', any], ['stream', any], ['stream_options', (value) => isRecord(value) && Object.keys(value).every((name) => name === 'include_usage')], ['n', one], ['logit_bias', none],
]
const completionMembers = new Map<string, Test>([...both, ['prompt', any], ['echo', (value) => typeof value === 'boolean'], ['best_of', one], ['suffix', (value) => value === '']])
const chatMembers = new Map<string, Test>([
  ...both, ['messages', any], ['logprobs', no], ['tools', none], ['functions', none], ['tool_choice', (value) => value === 'none'], ['function_call', (value) => value === 'none'],
  ['response_format', (value) => own(value, 'type') === 'text'], ['modalities', (value) => Array.isArray(value) && value.length === 1 && value[0] === 'text'],
])

import { textOf, type Canonical } from '../../cache/canonical.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { isInference } from '../../protocols/idempotent.ts'
import { isOpenAI } from '../../protocols/openai.ts'
import { recalled } from '../../pipeline/recalled.ts'
import { isV2, modelOfV2 } from '../../protocols/v2.ts'

/** Paths of known APIs, where a POST that does not compute changes something: loads a model, uploads a file. */
export const isKnown = recalled((path) => isV2(path) || isOpenAI(path) || path.startsWith('/v1/'))

/** What it is that computes, if it were nothing else that matters: a body that says nothing. */
const blank = Buffer.alloc(1)

/** Whether the answer to a POST on this path can be an answer to another one like it, as far as the path tells. */
export function computes(path: string, type: string): boolean {
  if (isGrpc(type)) return path === '/inference.GRPCInferenceService/ModelInfer'
  return !isKnown(path) || isInference(path, [], blank)
}

/** Whether the model remembers the request: it is part of a sequence (Triton's `sequence_id`). */
export function isRemembered(path: string, type: string, body: Buffer): boolean {
  return (isV2(path) || isGrpc(type)) && body.includes('sequence_id')
}

/** Generates a text, token by token, each of which is drawn. */
const draws = recalled((path) => /\/v1\/(?:chat\/completions|completions)$/.test(path) || (isV2(path) && /^\/generate(?:_stream)?$/.test(modelOfV2(path)?.rest ?? '')))

const seeds = ['seed', 'random_seed']

/**
 * Whether the answer is left to chance: what generates text draws it, unless it is told a temperature of 0 or a seed.
 * Elsewhere only who names a temperature asks for that. Servers that generate take both beside the text, or in `parameters`.
 */
export function asksForChance(path: string, body: Canonical | undefined): boolean {
  if (!(body instanceof Map)) return draws(path)
  const members = body as ReadonlyMap<string, Canonical>
  const parameters = members.get('parameters')
  const places = [members, ...parameters instanceof Map ? [parameters as ReadonlyMap<string, Canonical>] : []]
  const said = (name: string) => places.map((place) => place.get(name)).filter((value) => value !== undefined && value !== 'null').map((value) => value === undefined ? '' : textOf(value))
  if (seeds.some((name) => said(name).length > 0)) return false
  const temperatures = said('temperature')
  return temperatures.length === 0 ? draws(path) : temperatures.some((value) => !/^"?-?0(?:\.0*)?"?$/.test(value))
}

/** What of a JSON body says how the answer is to be made: it counts whatever a rule chooses of the rest. */
export const making = [
  'model', 'stream', 'stream_options', 'temperature', 'top_p', 'top_k', 'min_p', 'typical_p', 'n', 'best_of', 'seed', 'random_seed', 'max_tokens', 'max_completion_tokens',
  'max_new_tokens', 'min_tokens', 'stop', 'stop_words', 'bad_words', 'presence_penalty', 'frequency_penalty', 'repetition_penalty', 'length_penalty', 'logit_bias', 'logprobs',
  'top_logprobs', 'echo', 'suffix', 'response_format', 'guided_json', 'guided_regex', 'guided_choice', 'guided_grammar', 'tools', 'tool_choice', 'functions', 'function_call',
  'parallel_tool_calls', 'modalities', 'audio', 'reasoning_effort', 'verbosity', 'chat_template', 'chat_template_kwargs', 'encoding_format', 'dimensions', 'input_type',
  'truncate', 'parameters', 'outputs', 'signature_name', 'beam_width', 'num_beams', 'return_log_probs', 'lora_task_id', 'lora_name',
] as const

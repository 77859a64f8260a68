import { EventReader } from '../../protocols/event_reader.ts'
import { pathOfV2 } from '../../protocols/v2.ts'
import type { TokenUsage } from '../../protocols/usage.ts'
import { errorIn } from '../rest.ts'
import type { Ask, Piece, PieceReader, Server } from './ask.ts'
import { inexpressible, invalid, own, parsed } from './members.ts'

/**
 * Triton's `generate_stream`, and what is spoken like it. Always the stream, also for a caller who wants one answer: only
 * by it every model answers, those too that give several pieces, and its first says in its status whether it went well.
 */
export const generateServer: Server = {
  name: 'generate',
  request(ask, model) {
    const name = model?.name ?? ask.model
    if (name === '') return invalid('model', 'is missing.')
    const [prompt, ...more] = ask.prompts
    if (prompt === undefined || more.length > 0) return inexpressible(ask.member, 'the backend takes one prompt a request.')
    const parameters = new Map<string, unknown>()
    for (const [name, value] of ask.sampling) {
      // A parameter of a request is one value there, whatever the model.
      if (Array.isArray(value) && value.length > 1) return inexpressible(name, 'the backend takes one text to stop at.')
      parameters.set(name, Array.isArray(value) ? value[0] : value)
    }
    for (const [name, value] of wishesOf(ask)) parameters.set(name, value)
    const body = Buffer.from(JSON.stringify({ ...(ask.id !== '' && { id: ask.id }), text_input: prompt, parameters: Object.fromEntries(parameters) }))
    return {
      method: 'POST', path: pathOfV2(name, model?.version ?? ask.version, '/generate_stream'), headers: ['content-type', 'application/json', 'accept', 'text/event-stream'], body: [body],
    }
  },
  reader: () => generateReader(),
  error: errorIn,
}

/** What is wanted of the answer, as Triton's backend for vLLM has it; a model without these inputs does not look at them. */
function wishesOf({ stream, usage, finish, echo }: Ask): ReadonlyMap<string, boolean> {
  const wishes = new Map<string, boolean>()
  // With a prompt before the answer it does not stream.
  if (stream && !echo) wishes.set('stream', true)
  wishes.set('exclude_input_in_output', !echo)
  if (finish) wishes.set('return_finish_reason', true)
  if (usage) wishes.set('return_num_input_tokens', true).set('return_num_output_tokens', true)
  return wishes
}

function generateReader(): PieceReader {
  const events = new EventReader()
  const pieces = createAnswers()
  const read = (all: readonly { data: string }[] | undefined): readonly Piece[] | undefined => {
    const found: Piece[] = []
    for (const { data } of all ?? []) {
      const some = pieces(parsed(data))
      if (some === undefined) return undefined
      found.push(...some)
    }
    return all && found
  }
  return { push: (chunk) => read(events.push(chunk)), end: () => read(events.end()) }
}

/** What one answer says after the other. Tokens are told of each alone. */
function createAnswers(): (answer: unknown) => readonly Piece[] | undefined {
  let usage: TokenUsage | undefined
  return (answer) => {
    const error = own(answer, 'error')
    if (error !== undefined) return [{ kind: 'fault', message: typeof error === 'string' ? error : JSON.stringify(error) }]
    const text = one(own(answer, 'text_output'))
    if (typeof text !== 'string') return undefined
    const finish = one(own(answer, 'finish_reason'))
    const [input, output] = [one(own(answer, 'num_input_tokens')), one(own(answer, 'num_output_tokens'))]
    // Python's own word for nothing.
    const piece: Piece = { kind: 'text', prompt: 0, text, finish: typeof finish === 'string' && finish !== 'None' ? finish : undefined }
    if (typeof input !== 'number' && typeof output !== 'number') return [piece]
    usage = {
      inputTokens: typeof input === 'number' ? input : usage?.inputTokens ?? 0, outputTokens: (usage?.outputTokens ?? 0) + (typeof output === 'number' ? output : 0),
    }
    return [piece, { kind: 'usage', usage }]
  }
}

/** A tensor of one element is written as that element, and may be as a list of it. */
const one = (value: unknown): unknown => Array.isArray(value) && value.length === 1 ? value[0] as unknown : value

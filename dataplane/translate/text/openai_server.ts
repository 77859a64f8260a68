import { EventReader } from '../../protocols/event_reader.ts'
import type { TokenUsage } from '../../protocols/usage.ts'
import type { Piece, PieceReader, Server } from './ask.ts'
import { inexpressible, invalid, own, parsed } from './members.ts'
import { messageIn, messageOf } from './openai_form.ts'
import { wholeReader } from './whole.ts'

/** Completions of the OpenAI API: a stream where the caller wants one. */
export const openAICompletionServer: Server = {
  name: 'openai',
  request(ask, model) {
    const name = model?.name ?? ask.model
    if (name === '') return invalid('model', 'is missing.')
    if ((model?.version ?? ask.version) !== undefined) return inexpressible('version', 'the OpenAI API knows models by their name alone.')
    const { prompts, stream, usage, echo } = ask
    const members = new Map<string, unknown>([['model', name], ['prompt', prompts.length === 1 ? prompts[0] : prompts], ...ask.sampling])
    if (echo) members.set('echo', true)
    if (stream) members.set('stream', true)
    if (stream && usage) members.set('stream_options', { include_usage: true })
    const accept = stream ? 'text/event-stream' : 'application/json'
    return { method: 'POST', path: '/v1/completions', headers: ['content-type', 'application/json', 'accept', accept], body: [Buffer.from(JSON.stringify(Object.fromEntries(members)))] }
  },
  reader: ({ stream, prompts }) => stream ? streamReader(prompts.length) : wholeReader((body) => piecesOf(parsed(body.toString()), prompts.length)),
  error: messageIn,
}

function streamReader(prompts: number): PieceReader {
  const events = new EventReader()
  let done = false
  const read = (all: readonly { data: string }[] | undefined): readonly Piece[] | undefined => {
    const found: Piece[] = []
    for (const { data } of all ?? []) {
      if (data === '[DONE]') done = true
      if (done) continue
      const some = piecesOf(parsed(data), prompts)
      if (some === undefined) return undefined
      found.push(...some)
    }
    return all && found
  }
  return { push: (chunk) => read(events.push(chunk)), end: () => read(events.end()) }
}

/** What a completion, or a chunk of one, says. */
function piecesOf(answer: unknown, prompts: number): readonly Piece[] | undefined {
  const error = own(answer, 'error')
  if (error !== undefined && error !== null) return [{ kind: 'fault', message: messageOf(error) ?? JSON.stringify(error) }]
  const choices = own(answer, 'choices') ?? []
  if (!Array.isArray(choices)) return undefined
  const found: Piece[] = []
  for (const [i, choice] of (choices as readonly unknown[]).entries()) {
    const [index, text, finish] = [own(choice, 'index') ?? i, own(choice, 'text') ?? '', own(choice, 'finish_reason')]
    if (typeof index !== 'number' || !Number.isSafeInteger(index) || index < 0 || index >= prompts || typeof text !== 'string') return undefined
    if (text !== '' || typeof finish === 'string') found.push({ kind: 'text', prompt: index, text, finish: typeof finish === 'string' ? finish : undefined })
  }
  const usage = usageIn(own(answer, 'usage'))
  if (usage !== undefined) found.push({ kind: 'usage', usage })
  return found.length > 0 || own(answer, 'choices') !== undefined ? found : undefined
}

function usageIn(usage: unknown): TokenUsage | undefined {
  const [input, output] = [own(usage, 'prompt_tokens'), own(usage, 'completion_tokens')]
  return typeof input === 'number' && typeof output === 'number' ? { inputTokens: input, outputTokens: output } : undefined
}

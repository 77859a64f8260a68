import type { TokenUsage } from '../../protocols/usage.ts'
import { eventOf } from '../../protocols/event_reader.ts'
import { json } from '../rest.ts'
import type { Ask, Caller, Piece, PieceWriter } from './ask.ts'
import { askOfOpenAI } from './openai_ask.ts'

/** Who asks for completions of the OpenAI API. */
export const openAICompletions: Caller = { read: askOfOpenAI, writer: (ask, nonce, now) => writer(ask, nonce, now, false) }
/** The same for chat completions. */
export const openAIChat: Caller = { read: askOfOpenAI, writer: (ask, nonce, now) => writer(ask, nonce, now, true) }

const nothing: Buffer = Buffer.alloc(0)

function writer(ask: Ask, nonce: string, created: number, chat: boolean): PieceWriter {
  const { model } = ask
  const id = `${chat ? 'chatcmpl' : 'cmpl'}-${nonce}`
  return ask.stream ? streamed(ask, { id, object: chat ? 'chat.completion.chunk' : 'text_completion', created, model }, chat)
    : whole(ask, { id, object: chat ? 'chat.completion' : 'text_completion', created, model }, chat)
}

type Head = Readonly<{ id: string; object: string; created: number; model: string }>

function whole(ask: Ask, head: Head, chat: boolean): PieceWriter {
  const texts = ask.prompts.map(() => '')
  const ends = ask.prompts.map((): string | undefined => undefined)
  let usage: TokenUsage | undefined
  return {
    headers: undefined,
    write(piece) {
      if (piece.kind === 'text') {
        texts[piece.prompt] += piece.text
        ends[piece.prompt] ??= piece.finish
      } else if (piece.kind === 'usage') usage = piece.usage
      return nothing
    },
    end() {
      const choices = texts.map((text, index) => ({
        index, ...(chat ? { message: { role: 'assistant', content: text, refusal: null } } : { text }), logprobs: null, finish_reason: ends[index] ?? 'stop',
      }))
      return json(200, { ...head, choices, ...(usage && { usage: usageOf(usage) }) })
    },
    refusal,
  }
}

function streamed(ask: Ask, head: Head, chat: boolean): PieceWriter {
  const chunk = (value: object) => eventOf(JSON.stringify({ ...head, ...value, ...(ask.usage && !('usage' in value) && { usage: null }) }))
  const choice = (index: number, text: string | undefined, finish: string | null) =>
    chunk({ choices: [{ index, ...(chat ? { delta: text === undefined ? {} : { content: text } } : { text: text ?? '' }), logprobs: null, finish_reason: finish }] })
  const ended = new Set<number>()
  let begun = false
  let usage: TokenUsage | undefined
  let failed = false
  const opening = () => {
    if (begun || !chat) return nothing
    begun = true
    return Buffer.concat(ask.prompts.map((_, index) => chunk({ choices: [{ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }] })))
  }
  return {
    headers: ['content-type', 'text/event-stream; charset=utf-8', 'cache-control', 'no-cache'],
    write(piece: Piece) {
      if (piece.kind === 'usage') {
        usage = piece.usage
        return nothing
      }
      if (piece.kind === 'fault') {
        failed = true
        return eventOf(errorText(500, piece.message))
      }
      const { prompt, text, finish } = piece
      const parts = [opening()]
      if (text !== '') parts.push(choice(prompt, text, null))
      if (finish !== undefined && !ended.has(prompt)) {
        ended.add(prompt)
        parts.push(choice(prompt, undefined, finish))
      }
      return Buffer.concat(parts)
    },
    end() {
      const parts = failed ? [] : [
        opening(), ...ask.prompts.flatMap((_, index) => (ended.has(index) ? [] : [choice(index, undefined, 'stop')])),
        ask.usage && usage !== undefined ? chunk({ choices: [], usage: usageOf(usage) }) : nothing, eventOf('[DONE]'),
      ]
      return { status: 200, headers: [], body: parts }
    },
    refusal,
  }
}

const usageOf = ({ inputTokens, outputTokens }: TokenUsage) =>
  ({ prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens })

/** As the API puts an error, with the status of the backend. */
function refusal(status: number, message: string) {
  return json(status, errorOf(status, message))
}

const errorOf = (status: number, message: string) => ({
  error: { message, type: status === 429 ? 'rate_limit_error' : status < 500 ? 'invalid_request_error' : 'server_error', param: null, code: null },
})

const errorText = (status: number, message: string) => JSON.stringify(errorOf(status, message))

import type { TokenUsage } from '../../protocols/usage.ts'
import { eventOf } from '../../protocols/event_reader.ts'
import { json, wrongMethod } from '../rest.ts'
import type { Translation } from '../translation.ts'
import type { Ask, Caller, Piece, PieceWriter, Server } from './ask.ts'
import { askOfOpenAI } from './openai_ask.ts'
import { errorText, refusal, usageOf } from './openai_form.ts'
import { textTranslation, type ServerChoice } from './translate.ts'

/** Who asks for completions of the OpenAI API, and for chat completions. */
const completions: Caller = { name: 'openai', read: askOfOpenAI, writer: (ask, nonce, now) => writer(ask, nonce, now, false) }
const chat: Caller = { name: 'openai', read: askOfOpenAI, writer: (ask, nonce, now) => writer(ask, nonce, now, true) }

/** Callers of the OpenAI API. @param other what else they may ask than for text to be written */
export function openAITranslation(server: Server | ServerChoice, other: Translation): Translation {
  const written = new Map([['/v1/completions', textTranslation(completions, server)], ['/v1/chat/completions', textTranslation(chat, server)]])
  return (asked) => {
    const translation = written.get(asked.path.replace(/^\/openai/, ''))
    if (translation === undefined) return other(asked)
    return asked.method === 'POST' ? translation(asked) : wrongMethod('POST')
  }
}

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

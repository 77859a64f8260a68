import { eventOf } from '../../protocols/event_reader.ts'
import type { TokenUsage } from '../../protocols/usage.ts'
import { json } from '../rest.ts'
import type { Ask, Caller, PieceWriter } from './ask.ts'
import { askOfGenerate } from './generate_ask.ts'

/** Who asks by Triton's `generate` or `generate_stream`, in the words of its backend for vLLM. */
export const generateCaller: Caller = { name: 'generate', read: askOfGenerate, writer: (ask) => (ask.stream ? streamed(ask) : whole(ask)) }

const nothing: Buffer = Buffer.alloc(0)

const headOf = ({ model, version, id }: Ask) => ({ ...(id !== '' && { id }), model_name: model, ...(version !== undefined && { model_version: version }) })

const toldOf = (ask: Ask, usage: TokenUsage | undefined, finish: string | undefined) => ({
  ...(ask.finish && { finish_reason: finish ?? 'stop' }),
  ...(ask.usage && usage && { num_input_tokens: usage.inputTokens, num_output_tokens: usage.outputTokens }),
})

function whole(ask: Ask): PieceWriter {
  let text = ''
  let finish: string | undefined
  let usage: TokenUsage | undefined
  return {
    headers: undefined,
    write(piece) {
      if (piece.kind === 'text') {
        text += piece.text
        finish ??= piece.finish
      } else if (piece.kind === 'usage') usage = piece.usage
      return nothing
    },
    end: () => json(200, { ...headOf(ask), text_output: text, ...toldOf(ask, usage, finish) }),
    refusal: (status, error) => json(status, { error }),
  }
}

/** An event for each piece of text; what is asked for beside it comes with the last, which has no text of its own. */
function streamed(ask: Ask): PieceWriter {
  let finish: string | undefined
  let usage: TokenUsage | undefined
  let failed = false
  const event = (value: object) => eventOf(JSON.stringify(value))
  return {
    headers: ['content-type', 'text/event-stream; charset=utf-8'],
    write(piece) {
      if (piece.kind === 'usage') usage = piece.usage
      else if (piece.kind === 'text') finish ??= piece.finish
      else failed = true
      if (piece.kind === 'fault') return event({ error: piece.message })
      return piece.kind === 'text' && piece.text !== '' ? event({ ...headOf(ask), text_output: piece.text }) : nothing
    },
    end() {
      const told = toldOf(ask, usage, finish)
      const last = failed || Object.keys(told).length === 0 ? [] : [event({ ...headOf(ask), text_output: '', ...told })]
      return { status: 200, headers: [], body: last }
    },
    refusal: (status, error) => json(status, { error }),
  }
}

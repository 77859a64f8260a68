import { pathOfV1 } from '../../protocols/v1.ts'
import { errorIn } from '../rest.ts'
import type { Piece, Server } from './ask.ts'
import { inexpressible, invalid, own, parsed } from './members.ts'
import { wholeReader } from './whole.ts'

/**
 * `:predict` of KServe's V1 protocol, with an instance `{"prompt": …}` for each prompt and the parameters of sampling
 * beside it, as vLLM has it where it is asked that way. A prediction is the text, or has it as a member.
 */
export const v1TextServer: Server = {
  name: 'v1',
  request(ask, model) {
    const name = model?.name ?? ask.model
    if (name === '') return invalid('model', 'is missing.')
    if ((model?.version ?? ask.version) !== undefined) return inexpressible('version', 'the V1 protocol knows models by their name alone.')
    if (ask.stream) return inexpressible('stream', 'the V1 protocol has no streams.')
    if (ask.echo) return inexpressible('echo', 'the V1 protocol does not say whether the prompt stands before the answer.')
    const sampling = Object.fromEntries(ask.sampling)
    const body = Buffer.from(JSON.stringify({ instances: ask.prompts.map((prompt) => ({ prompt, ...sampling })) }))
    return { method: 'POST', path: pathOfV1(name, undefined, ':predict'), headers: ['content-type', 'application/json', 'accept', 'application/json'], body: [body] }
  },
  reader: ({ prompts }) => wholeReader((body) => piecesIn(body, prompts.length)),
  error: errorIn,
}

function piecesIn(body: Buffer, prompts: number): readonly Piece[] | undefined {
  const predictions = own(parsed(body.toString()), 'predictions')
  if (!Array.isArray(predictions) || predictions.length !== prompts) return undefined
  const pieces: Piece[] = []
  for (const [prompt, prediction] of (predictions as readonly unknown[]).entries()) {
    const text = textIn(prediction)
    const finish = own(prediction, 'finish_reason')
    if (text === undefined) return undefined
    pieces.push({ kind: 'text', prompt, text, finish: typeof finish === 'string' ? finish : undefined })
  }
  return pieces
}

/** What servers call it. */
const names = ['text', 'generated_text', 'text_output'] as const

function textIn(prediction: unknown): string | undefined {
  if (typeof prediction === 'string') return prediction
  return names.map((name) => own(prediction, name)).find((text) => typeof text === 'string')
}

import type { Failure } from '../../pipeline/errors.ts'
import type { FlatHeaders } from '../../pipeline/headers.ts'
import type { Asked } from '../translation.ts'
import type { Ask, CallerName, Server, ServerName } from './ask.ts'
import { askOfGenerate } from './generate_ask.ts'
import { generateServer } from './generate_server.ts'
import { askOfOpenAI } from './openai_ask.ts'
import { openAICompletionServer } from './openai_server.ts'
import { v1TextServer } from './v1_server.ts'

/** A request for text as another thread is given it, by the names of who asks and who is asked. */
export type TextToPut = Readonly<{ caller: CallerName; server: ServerName; path: string; body: Buffer; model: Asked['model']; countsTokens: boolean }>

/** The same as its server wants it, and what else must be known of it: what was asked, without the prompts. */
export type TextPut = Readonly<{ ask: Ask; method: string; path: string; headers: FlatHeaders; text: Buffer }>

const callers: Readonly<Record<CallerName, (asked: Pick<Asked, 'path' | 'body'>) => Ask | Failure>> = { openai: askOfOpenAI, generate: askOfGenerate }
const servers: Readonly<Record<ServerName, Server>> = { generate: generateServer, openai: openAICompletionServer, v1: v1TextServer }

export function putText({ caller, server, path, body, model, countsTokens }: TextToPut): TextPut | Failure {
  const ask = callers[caller]({ path, body })
  if ('code' in ask) return ask
  const put = servers[server].request(askedOf(ask, countsTokens), model)
  if ('code' in put) return put
  return { ask: { ...ask, prompts: ask.prompts.map(() => '') }, method: put.method, path: put.path, headers: put.headers, text: Buffer.concat(put.body ?? []) }
}

/** Whoever counts tokens is told, the caller only where he asks for it. */
export const askedOf = (ask: Ask, countsTokens: boolean): Ask => ({ ...ask, usage: ask.usage || countsTokens })

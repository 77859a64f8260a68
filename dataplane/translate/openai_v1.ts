import { wrongMethod } from './rest.ts'
import { openAIChat, openAICompletions } from './text/openai_answer.ts'
import { textTranslation } from './text/translate.ts'
import { v1Server } from './text/v1_server.ts'
import { unsupported, type Translation } from './translation.ts'

const completions = textTranslation(openAICompletions, v1Server)
const chat = textTranslation(openAIChat, v1Server)

/** A caller of the OpenAI API, a backend of KServe's V1 protocol. */
export const openAIToV1: Translation = (asked) => {
  const path = asked.path.replace(/^\/openai/, '')
  if (path === '/v1/completions' || path === '/v1/chat/completions') return asked.method === 'POST' ? (path === '/v1/completions' ? completions : chat)(asked) : wrongMethod('POST')
  return unsupported(`A backend that speaks V1 does not have ${path}.`)
}

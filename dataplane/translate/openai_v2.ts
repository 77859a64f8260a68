import { generateServer } from './text/generate_server.ts'
import { openAIChat, openAICompletions } from './text/openai_answer.ts'
import { textTranslation } from './text/translate.ts'
import { wrongMethod } from './rest.ts'
import { unsupported, type Translation } from './translation.ts'

const completions = textTranslation(openAICompletions, generateServer)
const chat = textTranslation(openAIChat, generateServer)

/** A caller of the OpenAI API, a backend of the Open Inference Protocol (V2) over REST that generates text as Triton does. */
export const openAIToV2: Translation = (asked) => {
  const path = asked.path.replace(/^\/openai/, '')
  if (path === '/v1/completions' || path === '/v1/chat/completions') return asked.method === 'POST' ? (path === '/v1/completions' ? completions : chat)(asked) : wrongMethod('POST')
  return unsupported(`A backend that speaks V2 does not have ${path}.`)
}

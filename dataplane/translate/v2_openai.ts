import { modelOfV2 } from '../protocols/v2.ts'
import { wrongMethod } from './rest.ts'
import { generateCaller } from './text/generate_caller.ts'
import { openAIServer } from './text/openai_server.ts'
import { textTranslation } from './text/translate.ts'
import { unsupported, type Translation } from './translation.ts'

const generate = textTranslation(generateCaller, openAIServer)

/** A caller of the Open Inference Protocol (V2) over REST, a backend of the OpenAI API. */
export const v2ToOpenAI: Translation = (asked) => {
  const rest = modelOfV2(asked.path)?.rest
  if (rest === '/generate' || rest === '/generate_stream') return asked.method === 'POST' ? generate(asked) : wrongMethod('POST')
  return unsupported(`A backend that speaks OpenAI does not have ${rest ?? asked.path}.`)
}

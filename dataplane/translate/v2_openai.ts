import { modelOfV2 } from '../protocols/v2.ts'
import { wrongMethod } from './rest.ts'
import { openAIServer } from './tensors/openai_rest.ts'
import { tensorTranslation } from './tensors/question.ts'
import { v2Caller } from './tensors/v2_rest.ts'
import { generateCaller } from './text/generate_caller.ts'
import { openAICompletionServer } from './text/openai_server.ts'
import { textTranslation } from './text/translate.ts'
import type { Translation } from './translation.ts'

const generate = textTranslation(generateCaller, openAICompletionServer)
const tensors = tensorTranslation(v2Caller, openAIServer)

/** A caller of the Open Inference Protocol (V2) over REST, a backend of the OpenAI API. */
export const v2ToOpenAI: Translation = (asked) => {
  const rest = modelOfV2(asked.path)?.rest
  if (rest !== '/generate' && rest !== '/generate_stream') return tensors(asked)
  return asked.method === 'POST' ? generate(asked) : wrongMethod('POST')
}

import { openAIServer } from './tensors/openai_rest.ts'
import { tensorTranslation, type Server } from './tensors/question.ts'
import { v1Caller } from './tensors/v1_rest.ts'
import { unsupported, type Translation } from './translation.ts'

/** Callers of V1 are not asked what the backend says of a model, and neither is a backend that would say nothing of use. */
const undescribed: Server = { ...openAIServer, put: (question, asked) => question.ask === 'model' ? unsupported('V1 does not ask this.') : openAIServer.put(question, asked) }

/** A caller of KServe's V1 protocol, a backend of the OpenAI API. */
export const v1ToOpenAI: Translation = tensorTranslation(v1Caller, undescribed)

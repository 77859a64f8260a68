import { openAICaller } from './tensors/openai_rest.ts'
import { tensorTranslation } from './tensors/question.ts'
import { v2Server } from './tensors/v2_rest.ts'
import { serverOfV2 } from './text/infer_server.ts'
import { openAITranslation } from './text/openai_answer.ts'
import type { Translation } from './translation.ts'

/** A caller of the OpenAI API, a backend of the Open Inference Protocol (V2) over REST. */
export const openAIToV2: Translation = openAITranslation(serverOfV2(v2Server), tensorTranslation(openAICaller, v2Server))

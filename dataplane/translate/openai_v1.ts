import { openAICaller } from './tensors/openai_rest.ts'
import { tensorTranslation } from './tensors/question.ts'
import { v1Server } from './tensors/v1_rest.ts'
import { openAITranslation } from './text/openai_answer.ts'
import { v1TextServer } from './text/v1_server.ts'
import type { Translation } from './translation.ts'

/** A caller of the OpenAI API, a backend of KServe's V1 protocol. */
export const openAIToV1: Translation = openAITranslation(v1TextServer, tensorTranslation(openAICaller, v1Server))

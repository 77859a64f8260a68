import { tensorTranslation } from './tensors/question.ts'
import { v1Server } from './tensors/v1_rest.ts'
import { v2Caller } from './tensors/v2_rest.ts'
import type { Translation } from './translation.ts'

/** A caller of the Open Inference Protocol (V2) over REST, a backend of KServe's V1 protocol. */
export const v2ToV1: Translation = tensorTranslation(v2Caller, v1Server)

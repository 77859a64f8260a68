import { tensorTranslation } from './tensors/question.ts'
import { v1Caller } from './tensors/v1_rest.ts'
import { v2Server } from './tensors/v2_rest.ts'
import type { Translation } from './translation.ts'

/** A caller of KServe's V1 protocol, a backend of the Open Inference Protocol (V2) over REST. */
export const v1ToV2: Translation = tensorTranslation(v1Caller, v2Server)

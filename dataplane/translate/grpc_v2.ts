import { grpcCaller, isStream } from './tensors/grpc.ts'
import { tensorTranslation } from './tensors/question.ts'
import { v2Server } from './tensors/v2_rest.ts'
import { streamToGenerate } from './text/stream_generate.ts'
import type { Translation } from './translation.ts'

const tensors = tensorTranslation(grpcCaller, v2Server)
const stream = streamToGenerate(true)

/** A caller of the Open Inference Protocol over gRPC, a backend of the Open Inference Protocol (V2) over REST. */
export const grpcToV2: Translation = (asked) => isStream(asked.path) ? stream(asked) : tensors(asked)

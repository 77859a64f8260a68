import { grpcCaller, isStream } from './tensors/grpc.ts'
import { openAIServer } from './tensors/openai_rest.ts'
import { tensorTranslation } from './tensors/question.ts'
import { streamToGenerate } from './text/stream_generate.ts'
import { through, type Translation } from './translation.ts'
import { v2ToOpenAI } from './v2_openai.ts'

const tensors = tensorTranslation(grpcCaller, openAIServer)
const stream = through(streamToGenerate(false), v2ToOpenAI)

/** A caller of the Open Inference Protocol over gRPC, a backend of the OpenAI API. */
export const grpcToOpenAI: Translation = (asked) => isStream(asked.path) ? stream(asked) : tensors(asked)

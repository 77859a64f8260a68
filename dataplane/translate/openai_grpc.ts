import { grpcServer } from './tensors/grpc.ts'
import { openAICaller } from './tensors/openai_rest.ts'
import { tensorTranslation } from './tensors/question.ts'
import { serverOfV2 } from './text/infer_server.ts'
import { openAITranslation } from './text/openai_answer.ts'
import { through, unsupported, type Translation } from './translation.ts'
import { v2ToGrpc } from './v2_grpc.ts'

const tensors = tensorTranslation(openAICaller, grpcServer)
const written = through(openAITranslation(serverOfV2(grpcServer), () => unsupported('Nothing else is said by way of V2.')), v2ToGrpc)

/** A caller of the OpenAI API, a backend of the Open Inference Protocol over gRPC. */
export const openAIToGrpc: Translation = (asked) => asked.path.endsWith('/completions') ? written(asked) : tensors(asked)

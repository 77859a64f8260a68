import { grpcCaller } from './tensors/grpc.ts'
import { tensorTranslation } from './tensors/question.ts'
import { v1Server } from './tensors/v1_rest.ts'
import type { Translation } from './translation.ts'

/** A caller of the Open Inference Protocol over gRPC, a backend of KServe's V1 protocol. */
export const grpcToV1: Translation = tensorTranslation(grpcCaller, v1Server)

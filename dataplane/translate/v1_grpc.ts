import { grpcServer } from './tensors/grpc.ts'
import { tensorTranslation } from './tensors/question.ts'
import { v1Caller } from './tensors/v1_rest.ts'
import type { Translation } from './translation.ts'

/** A caller of KServe's V1 protocol, a backend of the Open Inference Protocol over gRPC. */
export const v1ToGrpc: Translation = tensorTranslation(v1Caller, grpcServer)

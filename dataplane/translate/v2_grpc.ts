import { modelOfV2 } from '../protocols/v2.ts'
import { wrongMethod } from './rest.ts'
import { grpcServer } from './tensors/grpc.ts'
import { tensorTranslation } from './tensors/question.ts'
import { v2Caller } from './tensors/v2_rest.ts'
import { generateToGrpc } from './text/generate_grpc.ts'
import type { Translation } from './translation.ts'

const tensors = tensorTranslation(v2Caller, grpcServer)

/** A caller of the Open Inference Protocol (V2) over REST, a backend of the Open Inference Protocol over gRPC. */
export const v2ToGrpc: Translation = (asked) => {
  const rest = modelOfV2(asked.path)?.rest
  if (rest !== '/generate' && rest !== '/generate_stream') return tensors(asked)
  return asked.method === 'POST' ? generateToGrpc(asked) : wrongMethod('POST')
}

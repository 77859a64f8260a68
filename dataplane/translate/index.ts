import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf } from '../pipeline/headers.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { protocolOf } from '../protocols/path.ts'
import { grpcToOpenAI } from './grpc_openai.ts'
import { grpcToV1 } from './grpc_v1.ts'
import { grpcToV2 } from './grpc_v2.ts'
import { openAIToGrpc } from './openai_grpc.ts'
import { openAIToV1 } from './openai_v1.ts'
import { openAIToV2 } from './openai_v2.ts'
import { v1ToGrpc } from './v1_grpc.ts'
import { v1ToOpenAI } from './v1_openai.ts'
import { v1ToV2 } from './v1_v2.ts'
import { v2ToGrpc } from './v2_grpc.ts'
import { v2ToOpenAI } from './v2_openai.ts'
import { v2ToV1 } from './v2_v1.ts'
import { openBinary } from './tensors/binary_grpc.ts'
import type { Opening, Speech, Translation } from './translation.ts'

/** Every translation, by what the caller speaks and what the backend speaks. */
const translations: Readonly<Partial<Record<Speech, Readonly<Partial<Record<Speech, Translation>>>>>> = {
  GRPC: { OpenAI: grpcToOpenAI, V1: grpcToV1, V2: grpcToV2 },
  OpenAI: { GRPC: openAIToGrpc, V1: openAIToV1, V2: openAIToV2 },
  V1: { GRPC: v1ToGrpc, OpenAI: v1ToOpenAI, V2: v1ToV2 },
  V2: { GRPC: v2ToGrpc, OpenAI: v2ToOpenAI, V1: v2ToV1 },
}

/** What the caller speaks, by the content type and the path; undefined: none of those that are known here. */
export function speechOf({ path, received }: Pick<Exchange, 'path' | 'received'>): Speech | undefined {
  if (isGrpc(valueOf(received.headers, 'content-type'))) return 'GRPC'
  const protocol = protocolOf(path)
  return protocol === 'HTTP' ? undefined : protocol
}

/** Whether a request must be translated for this variant. What is of no protocol at all goes to servers of HTTP as it is. */
export function isForeign(exchange: Pick<Exchange, 'path' | 'received'>, protocol: Speech | undefined): boolean {
  if (protocol === undefined) return false
  const speech = speechOf(exchange)
  return speech === undefined ? protocol === 'GRPC' : speech !== protocol
}

export const translationOf = (from: Speech, to: Speech): Translation | undefined => translations[from]?.[to]

/** Where some requests need not be read whole. */
export const openingOf = (from: Speech, to: Speech): Opening | undefined => from === 'V2' && to === 'GRPC' ? openBinary : undefined

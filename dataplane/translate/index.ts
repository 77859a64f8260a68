import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf } from '../pipeline/headers.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { protocolOf } from '../protocols/path.ts'
import { openAIToV1 } from './openai_v1.ts'
import { openAIToV2 } from './openai_v2.ts'
import { v1ToV2 } from './v1_v2.ts'
import { v2ToOpenAI } from './v2_openai.ts'
import { v2ToV1 } from './v2_v1.ts'
import type { Speech, Translation } from './translation.ts'

/** Every translation, by what the caller speaks and what the backend speaks. */
const translations: Readonly<Partial<Record<Speech, Readonly<Partial<Record<Speech, Translation>>>>>> = {
  OpenAI: { V1: openAIToV1, V2: openAIToV2 },
  V1: { V2: v1ToV2 },
  V2: { OpenAI: v2ToOpenAI, V1: v2ToV1 },
}

/** What the caller speaks, by the content type and the path; undefined: none of those that are known here. */
export function speechOf({ path, received }: Pick<Exchange, 'path' | 'received'>): Speech | undefined {
  if (isGrpc(valueOf(received.headers, 'content-type'))) return 'GRPC'
  const protocol = protocolOf(path)
  return protocol === 'HTTP' ? undefined : protocol
}

export const translationOf = (from: Speech, to: Speech): Translation | undefined => translations[from]?.[to]

import type { Speech } from '../translation.ts'
import { grpcCaller, grpcServer } from './grpc.ts'
import { openAICaller, openAIServer } from './openai_rest.ts'
import type { Caller, Server } from './question.ts'
import { v1Caller, v1Server } from './v1_rest.ts'
import { v2Caller, v2Server } from './v2_rest.ts'

/** Who asks, by what they speak, and who is asked. */
export const callers: Readonly<Record<Speech, Caller>> = { GRPC: grpcCaller, OpenAI: openAICaller, V1: v1Caller, V2: v2Caller }
export const servers: Readonly<Record<Speech, Server>> = { GRPC: grpcServer, OpenAI: openAIServer, V1: v1Server, V2: v2Server }

import { valueOf } from '../pipeline/headers.ts'
import { isGrpc } from './grpc.ts'
import { isV1 } from './v1.ts'
import { modelOfV2, isV2 } from './v2.ts'

/** RFC 9110 section 9.2.2. */
const methods = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

/** Calls of gRPC that only read: all of them are POST. */
const reads = /^\/(?:inference\.GRPCInferenceService\/(?:ServerLive|ServerReady|ModelReady|ServerMetadata|ModelMetadata|ModelConfig|ModelStatistics|RepositoryIndex)|grpc\.health\.v1\.Health\/Check)$/

/**
 * Whether doing it twice is as doing it once: by its method, or because the caller says so with an `Idempotency-Key`
 * and would send it again himself (draft-ietf-httpapi-idempotency-key-header).
 */
export function isIdempotent(method: string, path: string, headers: readonly string[]): boolean {
  if (methods.has(method)) return true
  return valueOf(headers, 'idempotency-key') !== undefined || onlyReads(path, headers)
}

/** Whether it is a call of gRPC that asks how a server or a model is. */
export function onlyReads(path: string, headers: readonly string[]): boolean {
  return reads.test(path) && isGrpc(valueOf(headers, 'content-type'))
}

const openAI = /^(?:\/openai)?\/v1\/(?:chat\/completions|completions|embeddings|rerank|moderations)$/

/**
 * Whether it asks a model for an answer and changes nothing: the calls of V1, V2 and OpenAI that compute. One that is
 * part of a sequence is not, since the model remembers it (Triton's `sequence_id`). Where the body cannot be seen
 * whole and plain, it is taken for one that is.
 */
export function isInference(path: string, headers: readonly string[], body: Buffer | string | undefined): boolean {
  if (body === undefined || body.includes('sequence_id')) return false
  const encoding = valueOf(headers, 'content-encoding')
  if (encoding !== undefined && encoding !== 'identity') return false
  if (isGrpc(valueOf(headers, 'content-type'))) {
    // The first byte of a message tells whether it is compressed.
    return path === '/inference.GRPCInferenceService/ModelInfer' && (typeof body === 'string' ? body.charCodeAt(0) : body[0]) === 0
  }
  if (isV2(path)) return /^\/(?:infer|generate|generate_stream)$/.test(modelOfV2(path)?.rest ?? '')
  return isV1(path) ? /:(?:predict|explain|classify|regress)$/.test(path) : openAI.test(path)
}

import { modelOf } from '../protocols/path.ts'

const fixed = new Set(['/v1/models', '/openai/v1/models', '/v2', '/v2/', '/v2/health/live', '/v2/health/ready', '/v2/repository/index'])
const calls = new Set(['ServerLive', 'ServerReady', 'ServerMetadata', 'RepositoryIndex', 'ModelReady', 'ModelMetadata'].map((name) => `/inference.GRPCInferenceService/${name}`))

/** Whether a path asks for something of that. */
export function isAboutModels(path: string): boolean {
  if (fixed.has(path) || calls.has(path) || /^\/openai\/v1\/models\/[^/]+$/.test(path)) return true
  const named = modelOf(path)
  return named !== undefined && (named.rest === '' || (named.protocol === 'V2' && named.rest === '/ready'))
}

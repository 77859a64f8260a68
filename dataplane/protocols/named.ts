import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { isGrpc } from './grpc.ts'
import { namesModelInBody } from './openai.ts'
import type { ModelFields } from './scan/grpc.ts'

/** Where in a body the model is named: in the JSON of the OpenAI API, a field of its forms, or a message of gRPC. */
export type Place = Readonly<{ in: 'json' } | { in: 'form'; contentType: string } | { in: 'grpc'; fields: ModelFields }>

const byName: ModelFields = { name: 1, version: 2 }
const bySecond: ModelFields = { name: 2 }
const service = '/inference.GRPCInferenceService/'

/** The calls of the Open Inference Protocol, and Triton's beyond it, that are for one model. */
const methods: ReadonlyMap<string, ModelFields> = new Map([
  ...['ModelInfer', 'ModelStreamInfer', 'ModelReady', 'ModelMetadata', 'ModelConfig', 'ModelStatistics'].map((name) => [service + name, byName] as const),
  ...['RepositoryModelLoad', 'RepositoryModelUnload', 'TraceSetting'].map((name) => [service + name, bySecond] as const),
])

/** Undefined: a body on this path names no model. */
export function placeOfModel(path: string, headers: readonly string[]): Place | undefined {
  const fields = methods.get(path)
  if (fields !== undefined && isGrpc(valueOf(headers, 'content-type'))) return { in: 'grpc', fields }
  if (!namesModelInBody(path)) return undefined
  const contentType = valueOf(headers, 'content-type') ?? ''
  // Sound and images come as forms.
  return /^multipart\//i.test(contentType) ? { in: 'form', contentType } : { in: 'json' }
}

/** By which Seldon Core 2 and KServe's ModelMesh choose the model, whatever the rest of the request says. */
const chosenBy = new Set(['seldon-model', 'mm-model-id', 'mm-vmodel-id'])

/** Says that it is a pipeline of Seldon's, which goes by its own name in paths. */
const pipeline = '.pipeline'

/** The same headers, with another model in those that choose it. Undefined: there are none. */
export function renamedHeaders(headers: readonly string[], name: string): FlatHeaders | undefined {
  let renamed: FlatHeaders | undefined
  for (let i = 0; i < headers.length; i += 2) {
    if (!chosenBy.has(headers[i] ?? '')) continue
    renamed ??= [...headers]
    renamed[i + 1] = headers[i + 1]?.endsWith(pipeline) === true && !name.endsWith(pipeline) ? name + pipeline : name
  }
  return renamed
}

/** What such headers name; undefined where there are none, and `two` where they say different things. */
export function modelInHeaders(headers: readonly string[]): { name: string } | 'two' | undefined {
  let name: string | undefined
  for (let i = 0; i < headers.length; i += 2) {
    if (!chosenBy.has(headers[i] ?? '')) continue
    const given = headers[i + 1] ?? ''
    const value = given.endsWith(pipeline) ? given.slice(0, -pipeline.length) : given
    if (name !== undefined && name !== value) return 'two'
    name = value
  }
  return name === undefined || name === '' ? undefined : { name }
}

import { failure, type Failure } from '../pipeline/errors.ts'
import { recalled } from '../pipeline/recalled.ts'
import type { NamedModel } from './model.ts'
import { isOpenAI } from './openai.ts'
import { isV1, modelOfV1, pathOfV1 } from './v1.ts'
import { isV2, modelOfV2, pathOfV2 } from './v2.ts'

/** What the caller speaks, by the path: it decides how an error is put. */
export type Protocol = 'OpenAI' | 'V1' | 'V2' | 'HTTP'

export function protocolOf(path: string): Protocol {
  if (isV2(path)) return 'V2'
  if (isOpenAI(path)) return 'OpenAI'
  return isV1(path) ? 'V1' : 'HTTP'
}

export const modelOf = recalled((path): NamedModel | undefined => {
  if (isV2(path)) return modelOfV2(path)
  return isV1(path) ? modelOfV1(path) : undefined
})

/** The same request for another model, as far as its path names it. A path that names none stays as it is. */
export function renameModel(path: string, to: { name?: string; version?: string }): string | Failure {
  const named = modelOf(path)
  if (named?.protocol === 'V2') return pathOfV2(to.name ?? named.name, to.version ?? named.version, named.rest)
  if (named?.protocol === 'V1') {
    // KServe's V1 knows no versions, TensorFlow Serving does: who names one speaks to that.
    if (to.version === undefined || named.version !== undefined) return pathOfV1(to.name ?? named.name, to.version ?? named.version, named.rest)
    return failure('unsupported_translation', 'The backend serves one version of the model, and the V1 protocol cannot ask for it.')
  }
  return path
}

import { modelOfV2 } from '../protocols/v2.ts'
import { pathOfV1 } from '../protocols/v1.ts'
import { empty, sayError, wrongMethod } from './rest.ts'
import { unsupported, type Translation } from './translation.ts'
import { unary } from './unary.ts'

/** A caller of the Open Inference Protocol (V2) over REST, a backend of KServe's V1 protocol. */
export const v2ToV1: Translation = ({ method, path, model, answerMax }) => {
  const named = modelOfV2(path)
  if (named === undefined) return unsupported('A backend that speaks V1 says nothing of itself, only of its models.')
  const [name, version] = [model?.name ?? named.name, model?.version]
  if (named.rest === '/ready') {
    if (method !== 'GET') return wrongMethod('GET')
    return {
      method, path: pathOfV1(name, version, ''), headers: [], body: null,
      answer: unary(answerMax, (given) => given.status === 200 ? empty(200) : sayError(given)),
    }
  }
  return unsupported(`A backend that speaks V1 does not have ${named.rest || 'what V2 says of a model'}.`)
}

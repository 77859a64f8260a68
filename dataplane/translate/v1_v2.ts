import { modelOfV1 } from '../protocols/v1.ts'
import { pathOfV2 } from '../protocols/v2.ts'
import { json, sayError, wrongMethod } from './rest.ts'
import { unsupported, type Translation } from './translation.ts'
import { unary } from './unary.ts'

/** A caller of KServe's V1 protocol, a backend of the Open Inference Protocol (V2) over REST. */
export const v1ToV2: Translation = ({ method, path, model, answerMax }) => {
  const named = modelOfV1(path)
  if (named === undefined) return unsupported('The path is none that the V2 protocol has.')
  const [name, version] = [model?.name ?? named.name, model?.version ?? named.version]
  if (named.rest === '') {
    if (method !== 'GET') return wrongMethod('GET')
    return {
      method, path: pathOfV2(name, version, '/ready'), headers: [], body: null,
      answer: unary(answerMax, (given) => given.status === 200 ? json(200, { name: named.name, ready: true }) : sayError(given)),
    }
  }
  return unsupported(`A backend that speaks V2 does not have ${named.rest}.`)
}

import { readBody } from '../pipeline/body.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { membersOf } from '../protocols/json.ts'

/** The body of a request of the OpenAI API, with the model by the name that the backend has for it; all else byte for byte. */
export function renameInBody(exchange: Exchange, name: string): Buffer | Failure | Promise<Buffer | Failure> {
  // Sound and images come as forms.
  if (exchange.header('content-type')?.startsWith('multipart/') === true) return form
  const body = readBody(exchange)
  return body instanceof Promise ? body.then((settled) => rename(settled, name)) : rename(body, name)
}

function rename(body: Buffer | Failure, name: string): Buffer | Failure {
  if ('code' in body) return body
  const members = membersOf(body)
  if (members === undefined) return unreadable
  const text = JSON.stringify(name)
  const place = members.place('model')
  if (place !== undefined) return Buffer.concat([body.subarray(0, place[0]), Buffer.from(text), body.subarray(place[1])])
  const start = body.indexOf('{') + 1
  const more = /^\s*\}/.test(body.toString('latin1', start, start + 64)) ? '' : ','
  return Buffer.concat([body.subarray(0, start), Buffer.from(`"model":${text}${more}`), body.subarray(start)])
}

const form = failure('unsupported_translation', 'The backend serves the model by another name, and this request names its model in a form.')
const unreadable = failure('unsupported_translation', 'The backend serves the model by another name, and the body is not one JSON object in UTF-8 with every member named once.')

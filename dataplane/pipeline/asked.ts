import { membersOf, type Members } from '../protocols/json.ts'
import { namesModelInBody } from '../protocols/openai.ts'
import { readBody } from './body.ts'
import { failure, type Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'

/**
 * The model that a request asks for, in its path or, on the paths of the OpenAI API, in its body; empty where it names
 * none. At once where the body is here already. What could be read in two ways is refused.
 */
export function modelAsked(exchange: Exchange): string | Failure | Promise<string | Failure> {
  if (!namesModelInBody(exchange.path)) return exchange.model()?.name ?? ''
  const members = bodyMembers(exchange)
  return members instanceof Promise ? members.then(modelIn) : modelIn(members)
}

/** The members of the JSON object that is the body, found once. */
export function bodyMembers(exchange: Exchange): Members | Failure | Promise<Members | Failure> {
  if (exchange.members !== undefined) return exchange.members
  const body = readBody(exchange)
  return body instanceof Promise ? body.then((settled) => remember(exchange, settled)) : remember(exchange, body)
}

function remember(exchange: Exchange, body: Buffer | Failure): Members | Failure {
  if ('code' in body) return body
  const members = membersOf(body)
  if (members === undefined) return unreadable
  exchange.members = members
  return members
}

function modelIn(members: Members | Failure): string | Failure {
  if ('code' in members) return members
  const model = members.value('model')
  return typeof model === 'string' ? model : ''
}

const unreadable = failure('invalid_request', 'The body is not one JSON object in UTF-8 with every member named once.')

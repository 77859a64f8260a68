import { membersOf, type Members } from '../protocols/json.ts'
import { readBody } from './body.ts'
import { failure, type Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { placeOfModel } from '../protocols/named.ts'
import { peek } from './peek.ts'

/**
 * The model that a request asks for, wherever it names it; empty where it names none. At once where no body must be
 * waited for. What could be read in two ways is refused.
 */
export function modelAsked(exchange: Exchange): string | Failure | Promise<string | Failure> {
  const told = (fault: Failure | undefined): string | Failure => fault ?? (exchange.modelInDoubt ? inDoubt : exchange.model()?.name ?? '')
  if (exchange.modelLooked || placeOfModel(exchange.path, exchange.received.headers) === undefined) return told(undefined)
  const fault = peek(exchange, ofModel, exchange.rule)
  return fault instanceof Promise ? fault.then(told) : told(fault)
}

const ofModel = { model: true, pointers: [] }
export const inDoubt = failure('invalid_request', 'A header names another model than the request itself.')

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

const unreadable = failure('invalid_request', 'The body is not one JSON object in UTF-8 with every member named once.')

/** The model that its match is for, where that is one. */
export const nameAsked = ({ asked }: Exchange): string | undefined => asked?.type === undefined ? asked?.name : undefined

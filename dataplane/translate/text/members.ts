import { failure, type Failure } from '../../pipeline/errors.ts'
import { membersOf } from '../../protocols/json.ts'

/** Of a request that says what its backend's protocol has no words for. @param member as a JSON Pointer, or the name of a member of the body */
export function inexpressible(member: string, why: string): Failure {
  return { ...failure('unsupported_translation', `${member}: ${why}`), param: member }
}

export function invalid(member: string, why: string): Failure {
  return { ...failure('invalid_request', `${member} ${why}`), param: member }
}

const unreadable = failure('invalid_request', 'The body is not one JSON object in UTF-8 with every member named once.')

/** The members of the object that a body is; what is null is as if it were not there. */
export function membersIn(body: Buffer): ReadonlyMap<string, unknown> | Failure {
  const members = membersOf(body)
  if (members === undefined) return unreadable
  const found = new Map<string, unknown>()
  for (const name of members.names()) {
    const value = members.value(name)
    // What cannot be parsed is no JSON, or nested deeper than anybody would.
    if (value === undefined) return unreadable
    if (value !== null) found.set(name, value)
  }
  return found
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member that a value has as its own: never one of what all objects have. */
export function own(value: unknown, name: string): unknown {
  return isRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined
}

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

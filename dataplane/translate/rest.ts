import type { Failure } from '../pipeline/errors.ts'
import type { Said } from './unary.ts'

/** Answers of V1 and V2 over REST. */

export function json(status: number, value: unknown): Said {
  const body = Buffer.from(JSON.stringify(value))
  return { status, headers: ['content-type', 'application/json', 'content-length', String(body.length)], body: [body] }
}

export const empty = (status: number): Said => ({ status, headers: ['content-length', '0'], body: [] })

/** More than an error has to say. Bytes. */
const errorMax = 8192

/** `{"error": "…"}`; FastAPI's `{"detail": …}`; or the text as it is. */
export function errorIn(body: Buffer): string {
  const text = body.toString('utf8', 0, errorMax)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return text
  }
  if (typeof value !== 'object' || value === null) return text
  const said: unknown = Reflect.get(value, 'error') ?? Reflect.get(value, 'detail')
  return typeof said === 'string' ? said : text
}

export const wrongMethod = (...allow: string[]): Failure => ({ code: 'method_not_allowed', detail: `Only ${allow.join(', ')} is served here.`, allow })

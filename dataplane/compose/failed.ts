import { failure, type Failure } from '../pipeline/errors.ts'

/** A step came to nothing; the message is for the log. */
export class StepFailed extends Error {}

/** What is wrong is wrong with the request, and the message is for its caller too. */
export class Unaskable extends StepFailed {}

/** Of a call without an answer. */
export const whyOf = ({ code, cause = '' }: Failure): string => (cause === '' ? code : `${code}: ${cause}`)

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300)

/** @param late the request has no more time */
export function failureOf(step: string, error: unknown, late: boolean): Failure {
  const cause = `${step}: ${messageOf(error)}`
  if (late) return { ...failure('timeout', 'The steps of this route were not done in time.'), cause }
  if (error instanceof Unaskable) return { ...failure('invalid_request', `This route cannot do with the request: ${messageOf(error)}.`), cause }
  return { ...failure('step_failed', `The step ${step} of this route failed.`), cause }
}

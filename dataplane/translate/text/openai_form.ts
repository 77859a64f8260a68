import type { TokenUsage } from '../../protocols/usage.ts'
import { json } from '../rest.ts'
import type { Said } from '../unary.ts'
import { own, parsed } from './members.ts'

/** How the OpenAI API puts what all its answers have in common. */

export const usageOf = ({ inputTokens, outputTokens }: TokenUsage) =>
  ({ prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens })

/** An error, with the status of the backend. */
export const refusal = (status: number, message: string): Said => json(status, errorOf(status, message))

const errorOf = (status: number, message: string) => ({
  error: { message, type: status === 429 ? 'rate_limit_error' : status < 500 ? 'invalid_request_error' : 'server_error', param: null, code: null },
})

export const errorText = (status: number, message: string) => JSON.stringify(errorOf(status, message))

/** What an `error` says. */
export const messageOf = (error: unknown): string | undefined => {
  const message = typeof error === 'string' ? error : own(error, 'message')
  return typeof message === 'string' ? message : undefined
}

/** More than an error has to say. Bytes. */
const errorMax = 8192

/** What is said in an error of the OpenAI API, or the text as it is. */
export function messageIn(body: Buffer): string {
  const text = body.toString('utf8', 0, errorMax)
  return messageOf(own(parsed(text), 'error')) ?? text
}

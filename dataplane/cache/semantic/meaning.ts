import { valueOf } from '../../pipeline/headers.ts'
import { canonicalOf, textOf, type Canonical } from '../canonical.ts'
import type { Entry } from '../entry.ts'

/** What tells one answer from another, and says nothing of what was answered. */
const passing = new Set(['id', 'created', 'created_at', 'system_fingerprint', 'service_tier', 'usage', 'timings', 'object'])

/**
 * What an answer says, for a comparison with another one to the same question: the text that a model wrote, piece by
 * piece or at once, or else all of the body but what is of this one answer only.
 */
export function meaningOf({ headers, body }: Entry): string {
  if (valueOf(headers, 'content-type')?.startsWith('text/event-stream') === true) {
    let text = ''
    for (const [, data = ''] of body.toString().matchAll(/^data: ?(.*)$/gm)) text += writtenIn(canonicalOf(Buffer.from(data)))
    return text
  }
  const value = canonicalOf(body)
  if (value === undefined) return body.toString('latin1')
  const written = writtenIn(value)
  if (written !== '') return written
  return textOf(isMembers(value) ? new Map([...value].filter(([name]) => !passing.has(name))) : value)
}

/** What a model wrote: OpenAI's completions and chats, whole or a piece of them, and Triton's `generate`. */
function writtenIn(value: Canonical | undefined): string {
  if (!isMembers(value)) return ''
  const output = value.get('text_output')
  if (output !== undefined) return plain(output)
  const choices = value.get('choices')
  if (choices === undefined || typeof choices === 'string' || isMembers(choices)) return ''
  let text = ''
  for (const choice of choices) {
    if (!isMembers(choice)) continue
    const message = choice.get('message') ?? choice.get('delta')
    const parts = isMembers(message) ? [message.get('content'), message.get('tool_calls')] : [choice.get('text')]
    for (const part of parts) text += part === undefined ? '' : plain(part)
  }
  return text
}

function plain(value: Canonical): string {
  if (value === 'null') return ''
  return typeof value === 'string' && value.startsWith('"') ? String(JSON.parse(value)) : textOf(value)
}

const isMembers = (value: Canonical | undefined): value is ReadonlyMap<string, Canonical> => value instanceof Map

/** Whether two answers are the same but for spaces and capitals. */
export const sameMeaning = (one: string, other: string): boolean => folded(one) === folded(other)

/** Whether two answers give the same numbers: a vector hardly tells one number from another. */
export const sameNumbers = (one: string, other: string): boolean => numbersIn(one) === numbersIn(other)

const folded = (text: string) => text.trim().toLowerCase().replaceAll(/\s+/g, ' ')
const numbersIn = (text: string) => (text.match(/\p{N}+(?:[.,]\p{N}+)*/gu) ?? []).join(' ')

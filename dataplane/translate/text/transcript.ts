import type { Failure } from '../../pipeline/errors.ts'
import { inexpressible, invalid, isRecord, own } from './members.ts'

const speakers: ReadonlyMap<unknown, string> = new Map([['system', 'system'], ['developer', 'system'], ['user', 'user'], ['assistant', 'assistant']])

/**
 * A chat as the plain text of it, for a model that continues one: a line `role: content` for each message, and the
 * beginning of the assistant's next. A template of the model's own is its server's business, which is not asked here.
 */
export function transcriptOf(messages: unknown): string | Failure {
  if (!Array.isArray(messages) || messages.length === 0) return invalid('messages', 'is not a list of messages.')
  const lines: string[] = []
  for (const [i, message] of (messages as readonly unknown[]).entries()) {
    const at = `/messages/${i}`
    if (!isRecord(message)) return invalid(at, 'is not a message.')
    const speaker = speakers.get(message['role'])
    if (speaker === undefined) return inexpressible(`${at}/role`, 'only system, developer, user and assistant can be written as plain text.')
    for (const name of Object.keys(message)) {
      const said = name === 'role' || name === 'content' || message[name] === null || (name === 'tool_calls' && Array.isArray(message[name]) && message[name].length === 0)
      if (!said) return inexpressible(`${at}/${name}`, 'it cannot be written as plain text.')
    }
    const content = contentOf(message['content'], `${at}/content`)
    if (typeof content !== 'string') return content
    lines.push(`${speaker}: ${content}\n`)
  }
  return `${lines.join('')}assistant:`
}

function contentOf(content: unknown, at: string): string | Failure {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return invalid(at, 'is not a text.')
  const texts: string[] = []
  for (const [i, part] of (content as readonly unknown[]).entries()) {
    const text = own(part, 'text')
    if (own(part, 'type') !== 'text' || typeof text !== 'string') return inexpressible(`${at}/${i}`, 'only text can be written as plain text.')
    texts.push(text)
  }
  return texts.join('\n')
}

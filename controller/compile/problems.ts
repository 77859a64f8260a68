import type { Problem } from '../sources/snapshot.ts'

/** Reasons of the condition ResolvedRefs. */
export type ReferenceReason = 'BackendNotFound' | 'RefNotPermitted' | 'InvalidKind'

export function invalid(field: string, message: string): Problem {
  return { field, reason: 'Invalid', message, severity: 'error' }
}

export function unsupported(field: string, message: string): Problem {
  return { field, reason: 'UnsupportedValue', message, severity: 'error' }
}

export function unresolved(field: string, reason: ReferenceReason, message: string): Problem {
  return { field, reason, message, severity: 'error' }
}

export function warning(field: string, reason: string, message: string): Problem {
  return { field, reason, message, severity: 'warning' }
}

export function summary(problems: readonly Problem[]): string {
  return listed(problems.map(({ field, message }) => (field ? `${field}: ${message}` : message)))
}

/** A condition's message is read in a terminal: the first few sentences, and how many more there are. */
export function listed(sentences: readonly string[]): string {
  const shown = sentences.slice(0, 8)
  return [...shown, ...(sentences.length > shown.length ? [`And ${sentences.length - shown.length} more`] : [])].reduce(followed, '')
}

/** One sentence after another; what ends as a question has its end. */
function followed(text: string, next: string): string {
  return text === '' ? next : `${text}${/[.?!]$/.test(text) ? '' : '.'} ${next}`
}

const KEPT = 'The last good version stays in force'

/** What a refusal says where something of the object goes on. */
export const stillInForce = (why: string): string => followed(why, KEPT)

/** Why it was refused, for where what goes on is told already. */
export const withoutKept = (message: string): string => message.replace(new RegExp(`\\.? ${KEPT}$`), '')

/** Bounds what untrusted text (a name, a pattern) adds to a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

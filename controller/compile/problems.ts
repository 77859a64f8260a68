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
  return [...shown, ...(sentences.length > shown.length ? [`And ${sentences.length - shown.length} more`] : [])].join(
    '. ',
  )
}

/** Bounds what untrusted text (a name, a pattern) adds to a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

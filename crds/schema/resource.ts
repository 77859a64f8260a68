import type { ObjectNode } from './node.ts'

/** A kind of the API, and how kubectl shows it. */
export type Resource = Readonly<{
  kind: string
  plural: string
  singular: string
  shortName: string
  description: string
  labels: Readonly<Record<string, string>>
  columns: readonly Column[]
  spec: ObjectNode
  status: ObjectNode
}>

/** Priority 0 is always shown, 1 only with -o wide. */
export type Column = Readonly<{
  name: string
  type: 'string' | 'integer' | 'date'
  description: string
  path: string
  priority?: 1
}>

export const group = 'modelroute.io'
export const version = 'v1alpha1'

export function conditionColumn(name: string, description: string, priority?: 1): Column {
  const path = `.status.conditions[?(@.type=="${name}")].status`
  return { name, type: 'string', description, path, ...(priority === undefined ? {} : { priority }) }
}

/** Shown with -o wide. A column holds one value: a path of two prints the first. */
export function integerColumn(name: string, description: string, path: string): Column {
  return { name, type: 'integer', description, path, priority: 1 }
}

export const ageColumn: Column = {
  name: 'Age',
  type: 'date',
  description: 'When it was made.',
  path: '.metadata.creationTimestamp',
}

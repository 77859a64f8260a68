import type { Problem } from '../sources/snapshot.ts'
import { quote, unsupported } from './problems.ts'

/**
 * Fields of the schema whose behaviour is still to come. A route that has one is told so, and the field is never
 * ignored. This is the one place: a feature removes its lines. `[]` stands for every item of a list; `admits` are the
 * values that do work.
 */
export const unsupportedFields: Readonly<Record<'ModelRoute' | 'RateLimitPolicy', readonly UnsupportedField[]>> = {
  ModelRoute: [
    { path: 'spec.rules[].backendRefs[].protocol', admits: ['Passthrough', 'V1', 'V2', 'OpenAI'] },
    { path: 'spec.rules[].validation' },
    { path: 'spec.rules[].compose' },
    { path: 'spec.rules[].batching' },
    { path: 'spec.rules[].cache.semantic' },
    { path: 'spec.rules[].cache.staleIfError' },
    { path: 'spec.rules[].cache.tags' },
    { path: 'spec.rules[].cache.billing', admits: ['Full'] },
    { path: 'spec.rules[].cache.billingPercent' },
    { path: 'spec.rules[].logging.predictions' },
  ],
  RateLimitPolicy: [],
}

export type UnsupportedField = Readonly<{ path: string; admits?: readonly (string | number)[] }>

type Node = { children: Map<string, Node>; list: boolean; field?: UnsupportedField }

const trees = {
  ModelRoute: treeOf(unsupportedFields.ModelRoute),
  RateLimitPolicy: treeOf(unsupportedFields.RateLimitPolicy),
}
const spec = nodeAt(trees.ModelRoute, 'spec')
const rule = nodeAt(spec, 'rules')
const outsideOfRules: Node = { list: false, children: new Map([...spec.children].filter(([name]) => name !== 'rules')) }

/** What of a spec is unsupported outside of its rules. */
export function unsupportedInRoute(value: unknown): readonly Problem[] {
  return walk(value, outsideOfRules, 'spec')
}

/** What of one rule is unsupported; `place` is where the rule stands. */
export function unsupportedInRule(value: unknown, place: string): readonly Problem[] {
  return walk(value, rule, place)
}

export function unsupportedInPolicy(value: unknown): readonly Problem[] {
  return walk(value, nodeAt(trees.RateLimitPolicy, 'spec'), 'spec')
}

function walk(value: unknown, node: Node, place: string): readonly Problem[] {
  if (!refusesAny(value, node)) return []
  const problems: Problem[] = []
  const visit = (value: unknown, node: Node, place: string): void => {
    if (typeof value !== 'object' || value === null) return
    for (const key of Object.keys(value)) {
      const child = node.children.get(key)
      if (!child) continue
      const inner: unknown = Reflect.get(value, key)
      if (inner === undefined) continue
      if (child.list && Array.isArray(inner)) {
        inner.forEach((item, at) => visit(item, child, `${place}.${key}[${at}]`))
      } else if (!child.field) visit(inner, child, `${place}.${key}`)
      else if (!admits(child.field, inner)) {
        problems.push(unsupported(`${place}.${key}`, explain(key, inner, child.field)))
      }
    }
  }
  visit(value, node, place)
  return problems
}

/** Whether there is anything to tell, found without spelling out places: for nearly every rule there is not. */
function refusesAny(value: unknown, node: Node): boolean {
  if (typeof value !== 'object' || value === null) return false
  for (const key of Object.keys(value)) {
    const child = node.children.get(key)
    if (!child) continue
    const inner: unknown = Reflect.get(value, key)
    if (inner === undefined) continue
    if (child.list && Array.isArray(inner)) {
      for (const item of inner) if (refusesAny(item, child)) return true
    } else if (child.field ? !admits(child.field, inner) : refusesAny(inner, child)) return true
  }
  return false
}

function admits(field: UnsupportedField, value: unknown): boolean {
  return (field.admits as readonly unknown[] | undefined)?.includes(value) ?? false
}

function explain(key: string, value: unknown, field: UnsupportedField): string {
  if (!field.admits) return `${key} is not supported by this version; remove it`
  const shown = typeof value === 'string' ? quote(value) : String(value)
  return `${key} ${shown} is not supported by this version; use ${field.admits.join(' or ')}`
}

function treeOf(fields: readonly UnsupportedField[]): Node {
  const root: Node = { list: false, children: new Map() }
  for (const field of fields) {
    let node = root
    for (const segment of field.path.split('.')) {
      const name = segment.replace('[]', '')
      const next: Node = node.children.get(name) ?? { list: segment !== name, children: new Map() }
      node.children.set(name, next)
      node = next
    }
    node.field = field
  }
  return root
}

function nodeAt(node: Node, name: string): Node {
  return node.children.get(name) ?? { list: false, children: new Map() }
}

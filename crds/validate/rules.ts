import { MAX_FAULTS, isObject } from './fault.ts'
import { compileRule } from './cel.ts'
import type { ListNode, Node, ObjectNode } from '../schema/node.ts'
import type { Fault } from './fault.ts'

/** What was found so far. Only structural faults are in it when the walk begins. */
type Walk = { readonly structural: readonly Fault[]; readonly faults: Fault[] }

type Check = (value: unknown, field: string, walk: Walk) => void

/**
 * The rules and the uniqueness of keys, for every node that has any: undefined where there is nothing to check. A rule
 * is left out where the structure below its node is at fault, since it may rely on that structure.
 */
function compile(node: Node): Check | undefined {
  const inside = node.kind === 'object' ? fields(node) : node.kind === 'list' ? items(node) : undefined
  const rules = (node.rules ?? []).map(({ rule, message, at }) => ({
    holds: compileRule(rule),
    message,
    at: at === undefined ? '' : `.${at}`,
  }))
  if (rules.length === 0) return inside
  return (value, field, walk) => {
    if (!walk.structural.some((fault) => within(fault.field, field))) {
      for (const { holds, message, at } of rules) if (!holds(value)) report(walk, field + at, message)
    }
    inside?.(value, field, walk)
  }
}

function fields(node: ObjectNode): Check | undefined {
  const checks = Object.entries(node.fields).flatMap(([name, field]) => {
    const check = compile(field)
    return check === undefined ? [] : [{ name, check }]
  })
  if (checks.length === 0) return undefined
  return (value, field, walk) => {
    if (!isObject(value)) return
    for (const { name, check } of checks) {
      if (Object.hasOwn(value, name)) check(value[name], `${field}.${name}`, walk)
    }
  }
}

function items(node: ListNode): Check | undefined {
  const check = compile(node.items)
  if (check === undefined && node.merge === 'atomic') return undefined
  return (value, field, walk) => {
    if (!Array.isArray(value) || value.length > node.max) return
    if (node.merge !== 'atomic') unique(node, value, field, walk)
    if (check !== undefined) value.forEach((item, i) => check(item, `${field}[${i}]`, walk))
  }
}

function unique(node: ListNode, list: readonly unknown[], field: string, walk: Walk): void {
  const seen = new Map<string, number>()
  list.forEach((item, i) => {
    const key = node.merge === 'set' ? setKey(item) : mapKey(item, node.keys)
    if (key === undefined) return
    const first = seen.get(key)
    if (first === undefined) seen.set(key, i)
    else report(walk, `${field}[${i}]`, `${short(key)} is already in ${field}[${first}]`)
  })
}

function setKey(item: unknown): string | undefined {
  return typeof item === 'string' ? JSON.stringify(item) : typeof item === 'number' ? String(item) : undefined
}

/** `name "infer"`; undefined where a key is missing, which is a structural fault. */
function mapKey(item: unknown, keys: readonly string[]): string | undefined {
  if (!isObject(item)) return undefined
  const parts = keys.map((key) => (typeof item[key] === 'string' ? `${key} ${JSON.stringify(item[key])}` : undefined))
  return parts.includes(undefined) ? undefined : parts.join(', ')
}

const short = (key: string) => (key.length > 200 ? `${key.slice(0, 200)}…` : key)

function within(field: string, parent: string): boolean {
  return field.startsWith(parent) && /^($|[.[])/.test(field.slice(parent.length, parent.length + 1))
}

function report(walk: Walk, field: string, message: string): void {
  if (walk.faults.length < MAX_FAULTS) walk.faults.push({ field, message })
}

/** The faults of rules and keys in `spec`, given the structural faults of the whole object. */
export function compileRules(spec: Node): (value: unknown, structural: readonly Fault[]) => Fault[] {
  const check = compile(spec)
  return (value, structural) => {
    const walk: Walk = { structural, faults: [] }
    check?.(value, 'spec', walk)
    return walk.faults
  }
}

/**
 * The vocabulary that the resources are described in. From one description come the CRD that the API server enforces,
 * the TypeScript types, and the validator for files, so that the three cannot disagree.
 */

/**
 * A CEL rule over `self`. It is written as Kubernetes wants it (`self.__namespace__` for a reserved word), and refused
 * values are reported at `at`, a field below the node (`rollout.candidate`), or at the node itself.
 */
export type CelRule = Readonly<{ rule: string; message: string; at?: string }>

type Common = Readonly<{ description: string; required?: true; rules?: readonly CelRule[] }>

export type StringNode = Common &
  Readonly<{
    kind: 'string'
    /** In code points. Every string is bounded: an unbounded one makes each rule over it unaffordable to the server. */
    max: number
    min?: number
    pattern?: string
    /** What the pattern asks for, in words, for the message. */
    expects?: string
    values?: readonly string[]
    format?: 'date-time'
  }>

export type IntegerNode = Common &
  Readonly<{ kind: 'integer'; min: number; max: number; format: 'int32' | 'int64' }>

export type ObjectNode = Common &
  Readonly<{ kind: 'object'; name: string; fields: Readonly<Record<string, Node>>; minFields?: number }>

export type ListNode = Common &
  Readonly<{
    kind: 'list'
    items: Node
    max: number
    min?: number
    /** How server-side apply merges it: as a whole, as a set of scalars, or item by item under its keys. */
    merge: 'atomic' | 'set' | 'map'
    keys: readonly string[]
  }>

export type Node =
  | StringNode
  | IntegerNode
  | ObjectNode
  | ListNode
  | (Common & Readonly<{ kind: 'boolean' }>)
  /** Strings under keys of the user's choice. */
  | (Common & Readonly<{ kind: 'strings'; max: number; maxValue: number }>)
  /** Bytes: a number, or a number with a suffix. */
  | (Common & Readonly<{ kind: 'size' }>)
  /** An object whose inside is not ours. */
  | (Common & Readonly<{ kind: 'free' }>)

type Fields = Readonly<Record<string, Node>>
type Rules = Readonly<{ rules?: readonly CelRule[] }>

/** Descriptions are written over several lines and read in one: `kubectl explain` wraps them itself. */
const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim()

type StringOptions = Rules & Readonly<{ max: number; min?: number; pattern?: string; expects?: string }>

export function str(description: string, options: StringOptions): StringNode {
  return { kind: 'string', description: oneLine(description), ...options }
}

/** One of a few words. */
export function choice(description: string, values: readonly string[]): StringNode {
  return { kind: 'string', description: oneLine(description), max: 64, values }
}

export function time(description: string): StringNode {
  return { kind: 'string', description: oneLine(description), max: 64, format: 'date-time' }
}

export function int(description: string, min: number, max: number): IntegerNode {
  return { kind: 'integer', description: oneLine(description), min, max, format: max > 2 ** 31 - 1 ? 'int64' : 'int32' }
}

export function bool(description: string): Node {
  return { kind: 'boolean', description: oneLine(description) }
}

export function size(description: string): Node {
  return { kind: 'size', description: oneLine(description) }
}

export function free(description: string): Node {
  return { kind: 'free', description: oneLine(description) }
}

export function strings(description: string, max: number, maxValue: number): Node {
  return { kind: 'strings', description: oneLine(description), max, maxValue }
}

/** `name` is the name of its TypeScript type; two nodes of one name must have one shape. */
export function obj(
  name: string,
  description: string,
  fields: Fields,
  options: Rules & Readonly<{ minFields?: number }> = {},
): ObjectNode {
  return { kind: 'object', name, description: oneLine(description), fields, ...options }
}

type Bounds = Rules & Readonly<{ max: number; min?: number }>

/** Replaced as a whole. */
export function list(description: string, items: Node, bounds: Bounds): ListNode {
  return { kind: 'list', description: oneLine(description), items, merge: 'atomic', keys: [], ...bounds }
}

/** Scalars without duplicates. */
export function setOf(description: string, items: Node, bounds: Bounds): ListNode {
  return { kind: 'list', description: oneLine(description), items, merge: 'set', keys: [], ...bounds }
}

/** Objects merged under their keys, which are required in each and together unique. */
export function listMap(description: string, keys: readonly string[], items: ObjectNode, bounds: Bounds): ListNode {
  return { kind: 'list', description: oneLine(description), items, merge: 'map', keys, ...bounds }
}

export function required<T extends Node>(node: T): T {
  return { ...node, required: true }
}

/** The node and everything below it. */
export function* reachable(node: Node): Generator<Node> {
  yield node
  if (node.kind === 'list') yield* reachable(node.items)
  if (node.kind === 'object') for (const field of Object.values(node.fields)) yield* reachable(field)
}

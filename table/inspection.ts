import type { ASTNode } from '@marcbachmann/cel-js'
import { re2 } from './re2.ts'

/** Looks at an expression before anything of it is evaluated. */

/** Steps of all regular expressions of one. */
const programMax = 500

export const loops: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'filter', 'map'])
/** Whatever else the library can do (splitting, time zones, bytes) has no bound here. */
export const callable: ReadonlySet<string> = new Set([
  ...loops, 'has', 'size', 'contains', 'startsWith', 'endsWith', 'matches', 'lowerAscii', 'upperAscii', 'trim', 'indexOf',
  'lastIndexOf', 'substring', 'string', 'int', 'double', 'bool', 'dyn', 'type', 'min', 'max',
])

/** Nodes in all and within loops, joints of texts (`+`), and comparisons of values that may be large. */
export type Work = Readonly<{ nodes: number; looped: number; joints: number; compared: number }>

export function why(error: unknown): string {
  const summary: unknown = error instanceof Error ? Reflect.get(error, 'summary') ?? error.message : error
  return String(summary).replaceAll(/\s+/g, ' ').replaceAll('matchesLinear', 'matches').slice(0, 200)
}

/** What an expression looks at: the names of its regular expressions are to be replaced. */
type Seen = {
  names: [from: number, to: number][]; readsModel: boolean; readsPrincipal: boolean; bodies: Set<string>; steps: number
  work: { -readonly [K in keyof Work]: Work[K] }
}

export const nothingSeen = (): Seen =>
  ({ names: [], readsModel: false, readsPrincipal: false, bodies: new Set(), steps: 0, work: { nodes: 0, looped: 0, joints: 0, compared: 0 } })

/** Walks an expression before anything of it is evaluated: what is wrong with it, and what it looks at. */
export function look(node: ASTNode, loopsAround: number, seen: Seen): string | undefined {
  const { op, args } = node
  let depth = loopsAround
  count(node, loopsAround, seen.work)
  if (op === 'call' || op === 'rcall') {
    const name = args[0]
    if (!callable.has(name)) return `calls ${name}, which expressions do not have here`
    if (loops.has(name) && op === 'rcall') depth += 1
    if (depth > 1) return `has a loop (${name}) within a loop`
    if (name === 'matches' && op === 'rcall') {
      const fault = lookAtPattern(node, seen)
      if (fault !== undefined) return fault
    }
  }
  if (op === 'id' && args === 'principal') seen.readsPrincipal = true
  // Whose body it is can be told only where it is asked of itself.
  if (op === '.' && args[1] === 'body') for (const of of bodyOf(args[0])) seen.bodies.add(of)
  if ((op === '.' && args[1] === 'model') || (op === '[]' && args[1].args === 'model')) seen.readsModel = true
  for (const inner of childrenOf(args)) {
    const fault = look(inner, depth, seen)
    if (fault !== undefined) return fault
  }
  return undefined
}

const bodyOf = ({ op, args }: ASTNode) => (op === 'id' && (args === 'request' || args === 'response') ? [args] : ['request', 'response'])

function count({ op, args }: ASTNode, loopsAround: number, work: Seen['work']): void {
  work.nodes++
  if (loopsAround > 0) work.looped++
  if (op === '+') work.joints++
  if ((op === '==' || op === '!=' || op === 'in') && !args.some((side) => side.op === 'value')) work.compared++
}

/** Why the regular expression of a call of `matches` is not to be had; `seen` counts its steps and remembers its place. */
export function lookAtPattern(node: Extract<ASTNode, { op: 'rcall' }>, seen: Pick<Seen, 'names' | 'steps'>): string | undefined {
  const [, receiver, [pattern]] = node.args
  if (pattern?.op !== 'value' || typeof pattern.args !== 'string') return 'matches needs its regular expression as a literal'
  try {
    seen.steps += re2().compile(pattern.args).programSize()
  } catch (error) {
    return `holds a regular expression that is not RE2 syntax: ${why(error)}`
  }
  if (seen.steps > programMax) return `holds regular expressions of more than ${programMax} steps in all`
  seen.names.push([receiver.range.end, pattern.range.start])
  return undefined
}

/** Everything that is an expression itself, however the library arranges the arguments of a node. */
export function childrenOf(args: unknown): ASTNode[] {
  if (!Array.isArray(args)) return isNode(args) ? [args] : []
  return args.flatMap(childrenOf)
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value
}

/** `matches` of the library is JavaScript's, which can take forever. */
export function renamed(source: string, calls: readonly (readonly [from: number, to: number])[]): string {
  let text = source
  for (const [from, to] of calls.toSorted((a, b) => b[0] - a[0])) {
    text = text.slice(0, from) + text.slice(from, to).replace('matches', 'matchesLinear') + text.slice(to)
  }
  return text
}

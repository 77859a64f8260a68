import type { ASTNode } from '@marcbachmann/cel-js'
import { textUnit } from './effort.ts'
import { callable, childrenOf, lookAtPattern, loops } from './inspection.ts'

/**
 * Writes into an expression what it is charged for: every loop, comparison, concatenation and search takes from its budget what it
 * is about to look at.
 */

type Seen = {
  names: [from: number, to: number][]
  steps: number
  named: Set<string>
  asksFailed: Set<string>
  readsBody: boolean
  readsItem: boolean
  /** What is put around a part of the text: before which place, behind which. */
  around: { start: number; end: number; before: string; after: string }[]
}

export const nothingSeen = (): Seen => ({ names: [], steps: 0, named: new Set(), asksFailed: new Set(), readsBody: false, readsItem: false, around: [] })

const callableHere: ReadonlySet<string> = new Set([...callable, 'mean', 'vote', 'weighted', 'toss'])

/** Walks an expression of a step: why it may not be evaluated; `seen` is told what it looks at, and what is to be charged for. */
export function look(node: ASTNode, seen: Seen): string | undefined {
  const { op, args } = node
  const charge = (part: ASTNode, times = 1): void => {
    if (part.op !== 'value') seen.around.push({ ...rangeOf(part), before: 'charged(', after: `, ${times})` })
  }
  if ((op === 'call' || op === 'rcall') && !callableHere.has(args[0])) return `calls ${args[0]}, which expressions do not have here`
  if (op === 'call') {
    if (args[0] !== 'has') for (const one of args[1]) charge(one)
  } else if (op === 'rcall') {
    const [name, receiver, given] = args
    if (loops.has(name)) charge(receiver, given.reduce((sum, one) => sum + sizeOf(one), 1))
    else if (name === 'matches') {
      const fault = lookAtPattern(node, seen)
      if (fault !== undefined) return fault
      charge(receiver, textUnit * 10)
    } else charge(receiver)
  } else if (op === '+') {
    for (const part of args) charge(part)
  } else if (op === 'in') charge(args[1])
  else if ((op === '==' || op === '!=') && args.every((part) => part.op !== 'value')) {
    for (const part of args) seen.around.push({ ...rangeOf(part), before: 'chargedWhole(', after: ')' })
  }
  const step = stepOf(node)
  if (step !== undefined) {
    seen.named.add(step)
    return undefined
  }
  const inner = op === '.' ? stepOf(args[0]) : undefined
  if (op === '.' && args[1] === 'failed' && inner !== undefined) seen.asksFailed.add(inner)
  if (op === 'id' && args === 'steps') return 'names steps as a whole; name each by itself, as steps.name or steps["name"]'
  if (op === 'id' && (args === 'item' || args === 'index')) seen.readsItem = true
  if (op === '.' && args[1] === 'body' && args[0].op === 'id' && args[0].args === 'request') seen.readsBody = true
  for (const child of childrenOf(args)) {
    const fault = look(child, seen)
    if (fault !== undefined) return fault
  }
  return undefined
}

/** Of `steps.name` and `steps["name"]`. */
function stepOf({ op, args }: ASTNode): string | undefined {
  if (op !== '.' && op !== '[]') return undefined
  const [of, which] = args
  if (of.op !== 'id' || of.args !== 'steps') return undefined
  const name = typeof which === 'string' ? which : which.op === 'value' ? which.args : undefined
  return typeof name === 'string' ? name : undefined
}

const rangeOf = ({ range: { start, end } }: ASTNode) => ({ start, end })

function sizeOf(node: ASTNode): number {
  return childrenOf(node.args).reduce((sum, child) => sum + sizeOf(child), 1)
}

/** With what is charged, and `matches` by the name of ours. */
export function rewritten(source: string, { around, names }: Seen): string {
  const inserts = [
    // What stands around more begins before and ends behind what stands within it.
    ...around.flatMap(({ start, end, before, after }) => [
      { at: start, rank: 1, size: start - end, text: before }, { at: end, rank: 0, size: end - start, text: after },
    ]),
    ...names.map(([from, to]) => ({ at: source.indexOf('matches', from) + 'matches'.length, rank: 0, size: 0, text: 'Linear', to })),
  ].toSorted((a, b) => a.at - b.at || a.rank - b.rank || a.size - b.size)
  let text = ''
  let from = 0
  for (const { at, text: more } of inserts) {
    text += source.slice(from, at) + more
    from = at
  }
  return text + source.slice(from)
}

import { createComparison, decidedThen, type Comparison } from './compare.ts'
import type { Decision } from './decide.ts'
import { linesIn } from './lines.ts'
import { Heap } from './order.ts'
import { readLine, type Recorded } from './recorded.ts'
import { Unreadable } from './replayed.ts'

/** What decides a request anew; the present one is absent where the record itself says what was decided. */
export type Deciders = Readonly<{
  against: (recorded: Recorded) => Decision | Promise<Decision>
  from?: ((recorded: Recorded) => Decision | Promise<Decision>) | undefined
}>

/** `others`: lines that say nothing of a request, or too little. `malformed`: how many, and the first of them. */
export type Replay = Readonly<Comparison & {
  lines: number
  others: number
  malformed: Readonly<{ lines: number; first: readonly Readonly<{ line: number; why: string }>[] }>
}>

/** Records are written as requests end: so many are held, to be gone through as they began. */
const heldMax = 20_000
const malformedMax = 10

/** Sends a record through, a line at a time. */
export async function replayRecord(chunks: AsyncIterable<Buffer>, { against, from }: Deciders): Promise<Replay> {
  const comparison = createComparison()
  const held = new Heap<Readonly<{ line: number; request: Recorded }>>()
  const audited = createAudited()
  const first: { line: number; why: string }[] = []
  let [lines, others, malformed] = [0, 0, 0]

  function fault(line: number, why: string): void {
    malformed++
    if (first.length < malformedMax) first.push({ line, why })
  }

  async function next(): Promise<void> {
    const one = held.pop()
    if (one === undefined) return
    const { request, line } = one
    try {
      const told = against(request)
      const to = told instanceof Promise ? await told : told
      const was = from?.(request)
      const then = decidedThen(request)
      // Manifests need not have the Services that a cluster has: a record alone says nothing of these.
      if (from === undefined) comparison.add(request, line, then, isBackends(to.code) ? { ...to, code: undefined } : to)
      else comparison.add(request, line, then && (was instanceof Promise ? await was : was), to)
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error
      fault(line, error.message)
    }
  }

  for await (const { number, text } of linesIn(chunks)) {
    lines++
    if (text === '') continue
    const read = text === undefined ? { fault: 'is too long' } : readLine(text)
    if (read === 'other') others++
    else if ('fault' in read) fault(number, read.fault)
    else if (read.from === 'access' && audited.take(read.request.id)) others++
    else {
      if (read.from === 'audit') audited.add(read.request.id)
      held.push(read.request.at, { line: number, request: read.request })
      if (held.size > heldMax) await next()
    }
  }
  while (held.size > 0) await next()
  return { lines, others, malformed: { lines: malformed, first }, ...comparison.told() }
}

const isBackends = (code: Decision['code']) => code === 'backend_unresolved' || code === 'no_endpoints'

/** Requests of which the audit record was seen: the line of the access log about the same one, soon after, is no other request. */
function createAudited() {
  const ids = new Map<string, number>()
  return {
    add(id: string): void {
      ids.set(id, (ids.get(id) ?? 0) + 1)
      for (const oldest of ids.keys()) {
        if (ids.size <= heldMax) break
        ids.delete(oldest)
      }
    },
    take(id: string): boolean {
      const count = ids.get(id)
      if (count === undefined) return false
      if (count > 1) ids.set(id, count - 1)
      else ids.delete(id)
      return true
    },
  }
}

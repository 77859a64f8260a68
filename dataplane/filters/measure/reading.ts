import { segmentsOf } from '../../json/pointer.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { membersOf } from '../../protocols/json.ts'
import { eventsIn } from '../../protocols/sse.ts'
import { UsageReader } from '../../protocols/usage.ts'

/** A larger answer is not looked into for its fields. Bytes. */
const answerMax = 256 * 1024
/** A number whose square is no number any more says nothing. */
const numberMax = 1e150

/** What an answer says, once it is over. */
export type Reading = Readonly<{
  /** Tokens that were written; undefined where that cannot be told. */
  tokens(): number | undefined
  /** Of each pointer, the number that is there. */
  numbers(): readonly (number | undefined)[]
}>

/** Watches an answer pass by. */
export function readAnswer(exchange: Exchange, pointers: readonly string[], tokens: boolean): Reading {
  const usage = tokens ? new UsageReader() : undefined
  if (tokens) exchange.countsTokens = true
  let events = 0
  let streams = false
  let json = false
  let pieces: Buffer[] = []
  let size = 0
  const { headers } = exchange.received
  // A compressed answer would have to be unpacked to be read.
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === 'accept-encoding') headers[i + 1] = 'identity'
  ;(exchange.headTaps ??= []).push((_, answer) => {
    for (let i = 0; i < answer.length; i += 2) {
      if (answer[i] !== 'content-type') continue
      streams = answer[i + 1]?.startsWith('text/event-stream') === true
      json = /^application\/(?:[\w.-]+\+)?json\b/.test(answer[i + 1] ?? '')
    }
  })
  ;(exchange.dataTaps ??= []).push((chunk) => {
    usage?.push(chunk)
    if (streams && tokens) events += eventsIn(chunk)
    if (!json || pointers.length === 0) return
    size += chunk.length
    if (size > answerMax) pieces = []
    else pieces.push(chunk)
  })
  return {
    tokens: () => (tokens ? exchange.generated?.usage : undefined)?.outputTokens ?? usage?.usage()?.outputTokens ?? (streams ? Math.max(0, events - 2) : undefined),
    numbers: () => (pointers.length === 0 || !json || size > answerMax ? [] : numbersAt(Buffer.concat(pieces), pointers)),
  }
}

/** RFC 6901. Of an object only the members that are asked for are built; what is named twice is not there. */
function numbersAt(body: Buffer, pointers: readonly string[]): (number | undefined)[] {
  const members = membersOf(body)
  const whole = members === undefined ? parse(body) : undefined
  const built = new Map<string, unknown>()
  return pointers.map((pointer) => {
    const [first, ...rest] = segmentsOf(pointer)
    if (first === undefined) return numeric(whole)
    if (members === undefined) return Array.isArray(whole) ? numeric(below(whole, [first, ...rest])) : undefined
    if (!built.has(first)) built.set(first, members.value(first))
    return numeric(below(built.get(first), rest))
  })
}

function below(value: unknown, path: readonly string[]): unknown {
  let at = value
  for (const part of path) {
    if (Array.isArray(at)) at = /^(?:0|[1-9]\d{0,8})$/.test(part) ? at[Number(part)] : undefined
    else at = typeof at === 'object' && at !== null && Object.hasOwn(at, part) ? (Reflect.get(at, part) as unknown) : undefined
  }
  return at
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

/** A truth value counts as 1 or 0, so that the share of answers that say yes can be a gate. */
function numeric(value: unknown): number | undefined {
  if (typeof value === 'boolean') return Number(value)
  return typeof value === 'number' && Math.abs(value) < numberMax ? value : undefined
}

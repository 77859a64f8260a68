import type { BodyRewrite } from '../pipeline/parts.ts'

/** An event larger than this is no chunk of tokens, and passes unread. Bytes. */
export const eventMax = 1024 * 1024

/**
 * Takes the chunk out of a stream that says the usage (`choices` is empty there), for a caller who did not ask for it.
 * Events are sent on when they are complete; every byte of the others stays as it came.
 */
export function withoutUsageChunk(): BodyRewrite {
  let held: Buffer = nothing
  return {
    data(chunk) {
      const all = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      const end = lastEnd(all)
      if (end === 0 && all.length > eventMax) {
        held = nothing
        return all
      }
      held = all.subarray(end)
      const whole = all.subarray(0, end)
      if (!whole.includes('"usage"')) return whole
      const kept: Buffer[] = []
      for (let at = 0; at < whole.length;) {
        const next = endOfEvent(whole, at)
        const event = whole.subarray(at, next)
        if (!onlyUsage(event)) kept.push(event)
        at = next
      }
      return Buffer.concat(kept)
    },
    end: () => (onlyUsage(held) ? nothing : held),
  }
}

const nothing = Buffer.alloc(0)

/** Where the blank line after an event ends, whichever line ends it has; the end of the bytes where there is none. */
export function endOfEvent(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(0x0a, from); at !== -1; at = bytes.indexOf(0x0a, at + 1)) {
    if (bytes[at + 1] === 0x0a) return at + 2
    if (bytes[at + 1] === 0x0d && bytes[at + 2] === 0x0a) return at + 3
  }
  return bytes.length
}

/** Where the last event ends that is there whole; 0: none is. */
export function lastEnd(bytes: Buffer): number {
  return Math.max(end(bytes.lastIndexOf('\n\n'), 2), end(bytes.lastIndexOf('\n\r\n'), 3))
}

const end = (at: number, length: number) => (at === -1 ? 0 : at + length)

function onlyUsage(event: Buffer): boolean {
  if (!event.includes('"usage"')) return false
  const data = /^data:(?<data>.*)$/m.exec(event.toString())?.groups?.['data']
  let value: unknown
  try {
    value = JSON.parse(data ?? '')
  } catch {
    return false
  }
  if (typeof value !== 'object' || value === null) return false
  const [usage, choices] = ['usage', 'choices'].map((name): unknown => Reflect.get(value, name))
  return typeof usage === 'object' && usage !== null && (choices === undefined || choices === null || (Array.isArray(choices) && choices.length === 0))
}

/** How many events a piece of a stream begins. */
export function eventsIn(chunk: Buffer): number {
  let count = 0
  for (let at = chunk.indexOf('data:'); at !== -1; at = chunk.indexOf('data:', at + 5)) count++
  return count
}

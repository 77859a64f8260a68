/** An object of the API is at most 1.5 MiB in etcd; as JSON in an event, with both versions of a slice, never this. */
const MAX_LINE = 16 * 1024 * 1024

/** Cuts a byte stream into lines. Answers false once a line is longer than `max`: the stream can't be trusted then. */
export function lineReader(onLine: (line: string) => void, max = MAX_LINE): (chunk: Buffer) => boolean {
  let parts: Buffer[] = []
  let held = 0
  return chunk => {
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      const rest = chunk.subarray(from, end)
      if (held + rest.length > max) return false
      // Decoded whole, so that a character cut by a packet's end survives.
      onLine(held === 0 ? rest.toString() : Buffer.concat([...parts, rest]).toString())
      parts = []
      held = 0
      from = end + 1
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from))
      held += chunk.length - from
    }
    return held <= max
  }
}

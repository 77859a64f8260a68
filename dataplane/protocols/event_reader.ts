/** One event of a `text/event-stream`. `type` is empty where it names none. */
export type ServerEvent = Readonly<{ type: string; data: string }>

/** The data of one event, and a line of it, at most: more is no piece of text. Bytes. */
export const eventMax = 1024 * 1024

const LF = 0x0a
const CR = 0x0d
const nothing = Buffer.alloc(0)

/**
 * Takes a stream of events apart as it comes (WHATWG HTML, 9.2.6), in any chunking and with any ends of lines. What is
 * kept of it between two pieces is at most one event.
 */
export class EventReader {
  /** The beginning of a line whose end has not come. */
  #line: Buffer[] = []
  #lineSize = 0
  #data: string[] = []
  #size = 0
  #type = ''
  /** The last byte was a CR: an LF after it belongs to it. */
  #afterReturn = false
  #first = true

  /** The events that end in this piece; undefined: one of them is too large. */
  push(chunk: Buffer): ServerEvent[] | undefined {
    const events: ServerEvent[] = []
    let from = 0
    for (let at = this.#afterReturn && chunk[0] === LF ? (from = 1) : 0; at < chunk.length; at++) {
      const byte = chunk[at]
      if (byte !== LF && byte !== CR) continue
      const line = this.#whole(chunk.subarray(from, at))
      if (byte === CR && chunk[at + 1] === LF) at++
      from = at + 1
      if (!this.#take(line, events)) return undefined
    }
    if (chunk.length > 0) this.#afterReturn = chunk[chunk.length - 1] === CR
    if (from < chunk.length) {
      this.#line.push(Buffer.from(chunk.subarray(from)))
      this.#lineSize += chunk.length - from
    }
    return this.#lineSize + this.#size > eventMax ? undefined : events
  }

  /** An event whose blank line never came: a server that ends its stream in order may leave it out. */
  end(): ServerEvent[] {
    const events: ServerEvent[] = []
    this.#take(this.#whole(nothing), events)
    this.#take('', events)
    return events
  }

  #whole(end: Buffer): string {
    if (this.#line.length === 0) return end.toString()
    const line = Buffer.concat([...this.#line, end]).toString()
    this.#line = []
    this.#lineSize = 0
    return line
  }

  #take(text: string, events: ServerEvent[]): boolean {
    const line = this.#first && text.startsWith('\ufeff') ? text.slice(1) : text
    this.#first = false
    if (line === '') {
      if (this.#data.length > 0) events.push({ type: this.#type, data: this.#data.join('\n') })
      this.#data = []
      this.#size = 0
      this.#type = ''
      return true
    }
    const colon = line.indexOf(':')
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'event') this.#type = value
    if (name === 'data') {
      this.#size += value.length + 1
      this.#data.push(value)
    }
    return this.#size <= eventMax
  }
}

/** An event that holds this. @param data without an end of line, as JSON text is */
export function eventOf(data: string): Buffer {
  return Buffer.from(`data: ${data}\n\n`)
}

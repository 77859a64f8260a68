import { Kind, known } from './headers.ts'
import { detached } from './recalled.ts'

/**
 * What may stand in no header (RFC 9110 section 5.5); also what latin1 has no byte for: it would be cut to one, and
 * U+010A is a line feed then.
 */
// oxlint-disable-next-line no-control-regex -- it is what is looked for
const impure = /[^\t\x20-\x7e\x80-\xff]/

/** Of two lengths: what is kept, and what of a line is. */
const places = 256
const lengthMax = 256
/** A line that is in the way of others is kept as long as it is asked for more often than every so many times. */
const missesMax = 8

/**
 * Lines of heads as they are sent. Heads are alike: a line that was sent lately is neither tested nor put together again.
 * What is kept is bounded, and stands apart from the requests that it came with.
 */
export class HeaderLines {
  readonly #names: string[] = Array<string>(places).fill('')
  readonly #values: string[] = Array<string>(places).fill('')
  readonly #lines: string[] = Array<string>(places).fill('')
  readonly #misses = new Uint8Array(places)

  /** @param at where it stands in its head; undefined: it cannot be sent */
  line(at: number, name: string, value: string): string | undefined {
    const place = ((value.length === 0 ? 0 : value.charCodeAt(0)) + value.length * 5 + at * 33) % places
    if (this.#values[place] === value && this.#names[place] === name) {
      this.#misses[place] = 0
      return this.#lines[place]
    }
    const { valid, kind } = known(name)
    if (!valid || impure.test(value)) return undefined
    const line = `${name}: ${value}\r\n`
    // Of every request another one.
    if (kind === Kind.requestId || kind === Kind.trace) return line
    const misses = (this.#misses[place] ?? 0) + 1
    this.#misses[place] = misses % missesMax
    if (misses < missesMax || line.length > lengthMax) return line
    this.#names[place] = detached(name)
    this.#values[place] = detached(value)
    return this.#lines[place] = detached(line)
  }
}

import { isUtf8 } from 'node:buffer'
import type { BodyScan } from './scan.ts'

/** Bytes of the headers of a part, and of a field that is looked for. */
const [headMax, fieldMax] = [16_384, 4096]

/** What separates the parts of a form; undefined where the type does not say, or says it twice. */
export function boundaryOf(contentType: string): string | undefined {
  const parameters = [...contentType.matchAll(/;\s*boundary\s*=\s*(?:"([^"\\]{1,70})"|([^\s;",]{1,70}))\s*(?=;|$)/gi)]
  const [first] = parameters
  return parameters.length === 1 && /^multipart\/form-data\s*;/i.test(contentType) ? first?.[1] ?? first?.[2] : undefined
}

/**
 * Finds one field of a form (RFC 7578), whatever files stand before it. It may be there once; what a more lenient reader
 * would take for it too is a fault: other line ends, headers that are folded, names that are written in other ways.
 */
export class FormScan implements BodyScan {
  fault: string | undefined
  done = false
  /** Content of the field, and where in the body it stands; undefined where there is none. */
  value: string | undefined
  place: readonly [from: number, to: number] | undefined
  readonly #name: string
  readonly #delimiter: Buffer
  #state: 'start' | 'after' | 'head' | 'body' | 'over' = 'start'
  /** The field in hand is the one that is looked for. */
  #wanted = false
  /** What has come and is not decided yet. */
  #rest: Buffer = Buffer.alloc(0)
  /** Where in the body that begins. */
  #offset = 0

  constructor(name: string, boundary: string) {
    this.#name = name
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  }

  take(piece: Buffer): void {
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    let at = 0
    for (let next = 0; next !== -1 && this.fault === undefined;) {
      next = this.#step(bytes, at)
      if (next !== -1) at = next
    }
    // Of a part that is passed over, only what may begin the next delimiter.
    if (this.#state === 'over') at = bytes.length
    else if (this.#state === 'body' && !this.#wanted) at = Math.max(at, bytes.length - this.#delimiter.length + 1)
    this.#offset += at
    this.#rest = Buffer.from(bytes.subarray(at))
    const max = this.#state === 'body' ? fieldMax : headMax
    if (this.#rest.length > max + this.#delimiter.length) this.fault ??= 'has a field that is too long'
  }

  end(): void {
    if (this.#state !== 'over') this.fault ??= 'ends in the middle'
    this.done = true
  }

  /** @returns where to go on, or -1 where more must come first */
  #step(bytes: Buffer, at: number): number {
    const { length } = this.#delimiter
    switch (this.#state) {
      case 'start': {
        // The first has no line before it.
        if (bytes.length < length - 2) return -1
        if (!bytes.subarray(0, length - 2).equals(this.#delimiter.subarray(2))) this.fault = 'does not begin with its boundary'
        this.#state = 'after'
        return length - 2
      }
      case 'after': {
        if (bytes.length < at + 2) return -1
        const two = bytes.toString('latin1', at, at + 2)
        if (two === '--') {
          this.#state = 'over'
          this.done = true
        } else if (two === '\r\n') this.#state = 'head'
        else this.fault = 'has something after its boundary'
        return at + 2
      }
      case 'head': {
        const end = bytes.indexOf('\r\n\r\n', at, 'latin1')
        if (end === -1) return -1
        this.#head(bytes.toString('latin1', at, end))
        return end + 4
      }
      case 'body': {
        const end = bytes.indexOf(this.#delimiter, at)
        if (end === -1) return -1
        if (this.#wanted) this.#found(bytes.subarray(at, end), at)
        this.#state = 'after'
        return end + length
      }
      default: return -1
    }
  }

  #head(head: string): void {
    this.#state = 'body'
    this.#wanted = false
    const lines = head.split('\r\n')
    const disposition = lines.filter((line) => /^content-disposition\s*:/i.test(line))
    if (disposition.length !== 1 || lines.some((line) => !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*$/.test(line))) {
      this.fault = 'has a part whose headers cannot be read'
      return
    }
    // The name of a file is in quotes, and may hold anything.
    const rest = (disposition[0] ?? '').replace(/;\s*filename\s*=\s*"(?:[^"\\]|\\.)*"/i, '')
    const names = [...rest.matchAll(/;\s*name(\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/gi)]
    const [only] = names
    const name = (only?.[2] ?? only?.[3] ?? '').replaceAll(/\\(.)/g, '$1')
    if (names.length !== 1 || only?.[1] === '*') {
      this.fault = 'has a part whose name can be read in two ways'
      return
    }
    if (name.toLowerCase() !== this.#name) return
    // Nobody writes a name so; whoever reads it might find another.
    if (name !== this.#name || lines.some((line) => /^content-transfer-encoding\s*:/i.test(line))) this.fault = `has a field ${this.#name} in a form that is not read here`
    else if (this.value !== undefined) this.fault = `has more than one field ${this.#name}`
    this.#wanted = true
  }

  #found(bytes: Buffer, at: number): void {
    if (!isUtf8(bytes) || bytes.length > fieldMax) this.fault = `has a field ${this.#name} that is no name`
    this.value = bytes.toString()
    this.place = [this.#offset + at, this.#offset + at + bytes.length]
    this.done = true
  }
}

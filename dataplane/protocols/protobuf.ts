/**
 * Protocol buffers on the wire (protobuf.dev/programming-guides/encoding), as far as the messages of model servers take
 * them: no schema, no copies. Groups are refused: proto3 has none.
 */

/** How a field is written: a varint, eight bytes, bytes with their length before them, four bytes. */
export type Wire = 0 | 1 | 2 | 5

/** Walks over the fields of a message, in the order in which they stand in it. */
export class FieldReader {
  readonly bytes: Buffer
  readonly #end: number
  #at: number
  /** The message ends in the middle of a field, or is none. */
  broken = false
  /** Number of the field, and how it is written. */
  field = 0
  wire: Wire = 0
  /** Where the field begins with its tag, and its value without tag and length. */
  start = 0
  from = 0
  to = 0

  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.bytes = bytes
    this.#at = from
    this.#end = to
  }

  /** Goes on to the next field. False: there is none, or `broken`. */
  next(): boolean {
    if (this.#at >= this.#end || this.broken) return false
    this.start = this.#at
    const tag = this.#varint()
    const wire = tag & 7
    this.field = Math.floor(tag / 8)
    if (wire === 0) {
      this.from = this.#at
      this.#varint()
    } else if (wire === 2) {
      const length = this.#varint()
      this.from = this.#at
      this.#at += length
    } else if (wire === 1 || wire === 5) {
      this.from = this.#at
      this.#at += wire === 1 ? 8 : 4
    } else {
      this.broken = true
      return false
    }
    this.wire = wire
    this.to = this.#at
    if (this.#at > this.#end || this.field === 0) this.broken = true
    return !this.broken
  }

  /** The bytes of the value: of a text, a message inside, a packed list, or as they stand. Shares memory. */
  get value(): Buffer {
    return this.bytes.subarray(this.from, this.to)
  }

  get text(): string {
    return this.bytes.toString('utf8', this.from, this.to)
  }

  /** Of a varint; exact up to 53 bits. */
  get number(): number {
    const read = varintAt(this.bytes, this.from, this.to)
    return read === undefined ? 0 : read.value
  }

  /** Of a varint, all 64 bits. */
  get bits(): bigint {
    let value = 0n
    for (let at = this.from, shift = 0n; at < this.to; at++, shift += 7n) value |= BigInt((this.bytes[at] ?? 0) & 0x7f) << shift
    return BigInt.asUintN(64, value)
  }

  #varint(): number {
    const read = varintAt(this.bytes, this.#at, this.#end)
    if (read === undefined) {
      this.broken = true
      return 0
    }
    this.#at = read.end
    return read.value
  }
}

/** A varint takes no more bytes than this. */
export const varintMax = 10

/** A varint and where it ends; beyond 53 bits the nearest number. Undefined: it does not end before `to`. */
export function varintAt(bytes: Buffer, from: number, to = bytes.length): { value: number; end: number } | undefined {
  let value = 0
  let unit = 1
  for (let at = from; at < to && at < from + varintMax; at++) {
    const byte = bytes[at] ?? 0
    value += (byte & 0x7f) * unit
    if (byte < 0x80) return { value, end: at + 1 }
    unit *= 128
  }
  return undefined
}

/** Writes a message, field by field; what is given as bytes is not copied before the end. */
export class MessageWriter {
  readonly #parts: Buffer[] = []
  length = 0

  text(field: number, text: string): this {
    return this.bytes(field, Buffer.from(text))
  }

  /** Also a message, or a packed list. */
  bytes(field: number, value: Buffer): this {
    this.#add(lengthOf(field, value.length))
    this.#add(value)
    return this
  }

  message(field: number, { length, parts }: MessageWriter): this {
    this.#add(lengthOf(field, length))
    for (const part of parts) this.#add(part)
    return this
  }

  /** A varint: an integer (64 bits in two's complement), a boolean, an enum. */
  number(field: number, value: number | bigint | boolean): this {
    this.#add(Buffer.from([...varint(field * 8), ...varint(value)]))
    return this
  }

  double(field: number, value: number): this {
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleLE(value)
    this.#add(Buffer.from(varint(field * 8 + 1)))
    this.#add(bytes)
    return this
  }

  get parts(): readonly Buffer[] {
    return this.#parts
  }

  whole(): Buffer {
    return Buffer.concat(this.#parts, this.length)
  }

  #add(part: Buffer): void {
    this.#parts.push(part)
    this.length += part.length
  }
}

/** The tag of a field with a length, and that length. */
export function lengthOf(field: number, length: number): Buffer {
  return Buffer.from([...varint(field * 8 + 2), ...varint(length)])
}

function varint(value: number | bigint | boolean): number[] {
  const bytes: number[] = []
  if (typeof value !== 'bigint' && Number(value) >= 0) {
    let rest = Number(value)
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
    bytes.push(rest)
    return bytes
  }
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 128)
  bytes.push(Number(rest))
  return bytes
}

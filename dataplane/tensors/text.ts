/** JSON that is being written, in bytes: what it holds need not be UTF-8. */
export class Text {
  #bytes: Buffer
  #at = 0

  /** @param room bytes that it will take, as far as can be told */
  constructor(room = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(room)
  }

  /** @param ascii a character a byte */
  put(ascii: string): this {
    this.#need(ascii.length)
    this.#at += this.#bytes.write(ascii, this.#at, 'latin1')
    return this
  }

  /** A string or a number in JSON. */
  json(value: string | number | boolean): this {
    return this.bytes(Buffer.from(JSON.stringify(value)))
  }

  byte(code: number): void {
    this.#need(1)
    this.#bytes[this.#at++] = code
  }

  bytes(piece: Buffer): this {
    this.#need(piece.length)
    this.#at += piece.copy(this.#bytes, this.#at)
    return this
  }

  /** A whole number of up to 32 bits, with a fraction of none where `float`. */
  whole(value: number, float: boolean): void {
    this.#need(14)
    const bytes = this.#bytes
    let rest = value
    if (rest < 0) {
      bytes[this.#at++] = 45
      rest = -rest
    }
    let digits = 1
    for (let ten = 10; ten <= rest; ten *= 10) digits++
    for (let at = this.#at + digits - 1; at >= this.#at; at--) {
      const tenth = (rest / 10) >>> 0
      bytes[at] = 48 + rest - tenth * 10
      rest = tenth
    }
    this.#at += digits
    if (!float) return
    bytes[this.#at++] = 46
    bytes[this.#at++] = 48
  }

  /** A whole number of 64 bits, without a bigint. */
  long(high: number, low: number): void {
    // By 10^9, with 16 bits more at a time: no step is larger than what a number holds exactly.
    const upper = (high % billion) * 65_536 + (low >>> 16)
    const lower = (upper % billion) * 65_536 + (low & 0xffff)
    const quotient = Math.floor(high / billion) * 2 ** 32 + Math.floor(upper / billion) * 65_536 + Math.floor(lower / billion)
    if (quotient === 0) {
      this.whole(lower % billion, false)
      return
    }
    if (quotient < billion) this.whole(quotient, false)
    else {
      this.whole(Math.floor(quotient / billion), false)
      this.#nine(quotient % billion)
    }
    this.#nine(lower % billion)
  }

  /** Nine digits. */
  #nine(value: number): void {
    this.#need(9)
    let rest = value
    for (let at = this.#at + 8; at >= this.#at; at--) {
      const tenth = (rest / 10) | 0
      this.#bytes[at] = 48 + rest - tenth * 10
      rest = tenth
    }
    this.#at += 9
  }

  /** A text, of bytes that need not be UTF-8 and stay as they are (as Triton writes them). */
  text(data: Buffer, from: number, to: number): void {
    // Of the longest, each byte becomes `\u0000`.
    this.#need((to - from) * 6 + 2)
    const bytes = this.#bytes
    let out = this.#at
    bytes[out++] = QUOTE
    for (let at = from; at < to; at++) {
      const byte = data[at] ?? 0
      if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) bytes[out++] = byte
      else out += bytes.write(special.get(byte) ?? `\\u${byte.toString(16).padStart(4, '0')}`, out, 'latin1')
    }
    bytes[out++] = QUOTE
    this.#at = out
  }

  #need(more: number): void {
    if (this.#at + more <= this.#bytes.length) return
    const bytes = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + more))
    this.#bytes.copy(bytes, 0, 0, this.#at)
    this.#bytes = bytes
  }

  done(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }
}

const billion = 1_000_000_000
const [QUOTE, BACKSLASH] = [0x22, 0x5c]
/** What must not stand in a text of JSON as it is. */
const special = new Map<number, string>([[QUOTE, '\\"'], [BACKSLASH, '\\\\'], [8, '\\b'], [9, '\\t'], [10, '\\n'], [12, '\\f'], [13, '\\r']])

const code = (character: string) => character.charCodeAt(0)
const [QUOTE, BACKSLASH, COLON, COMMA] = [code('"'), code('\\'), code(':'), code(',')]
const [OPEN, CLOSE, OPEN_LIST, CLOSE_LIST] = [code('{'), code('}'), code('['), code(']')]

/** What may stand outside of a text: 1 for brackets that open, 2 for those that close, 3 for the rest. NaN and Infinity too, as Triton writes them. */
const outside = new Uint8Array(256)
for (const character of ' \t\r\n,:+-.0123456789eEtrufalsnNIiyE') outside[code(character)] = 3
for (const character of '{[') outside[code(character)] = 1
for (const character of '}]') outside[code(character)] = 2

/** Lists below this are looked at byte by byte. */
const flatMin = 512
/** What a list of numbers has not, also where that is no JSON. */
const notFlat = [OPEN_LIST, QUOTE, OPEN, code('/'), code("'")]

/** Visits a part of JSON; where its end is; -1: it is not what was looked for. */
type Visit = (name: string, from: number) => number

/** Finds what stands where in JSON, and builds nothing of it. */
export class Spans {
  readonly bytes: Buffer
  /** Where the next list closes, as far as that was searched for: so that nobody has it searched for again and again. */
  #nextClose = -1

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** Where what is not white space begins, from `from` on. */
  space(from: number): number {
    let at = from
    for (let byte = this.bytes[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = this.bytes[at]) at++
    return at
  }

  /** The end of an object, each of whose members was visited; none may be there twice. */
  members(from: number, visit: Visit): number {
    const { bytes } = this
    const names = new Set<string>()
    if (bytes[from] !== OPEN) return -1
    let at = this.space(from + 1)
    if (bytes[at] === CLOSE) return at + 1
    for (;;) {
      const end = this.textEnd(at)
      const name = end === -1 ? undefined : this.value(at, end)
      if (typeof name !== 'string' || names.has(name) || names.size >= namesMax) return -1
      names.add(name)
      at = this.space(end)
      if (bytes[at] !== COLON) return -1
      at = visit(name, this.space(at + 1))
      if (at === -1) return -1
      at = this.space(at)
      if (bytes[at] === CLOSE) return at + 1
      if (bytes[at] !== COMMA) return -1
      at = this.space(at + 1)
    }
  }

  /** The end of a list, each of whose elements was visited. */
  elements(from: number, visit: (from: number) => number): number {
    const { bytes } = this
    if (bytes[from] !== OPEN_LIST) return -1
    let at = this.space(from + 1)
    if (bytes[at] === CLOSE_LIST) return at + 1
    for (;;) {
      at = visit(at)
      if (at === -1) return -1
      at = this.space(at)
      if (bytes[at] === CLOSE_LIST) return at + 1
      if (bytes[at] !== COMMA) return -1
      at = this.space(at + 1)
    }
  }

  /** The end of whatever value begins at `from`: at the comma, the bracket or the white space after it. */
  skip(from: number): number {
    const { bytes } = this
    let depth = 0
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0
      if (byte === QUOTE) {
        const end = this.textEnd(at)
        if (end === -1 || depth === 0) return end
        at = end - 1
        continue
      }
      const kind = outside[byte]
      if (kind === 0) return -1
      if (kind === 1) {
        const end = byte === OPEN_LIST ? this.#flatEnd(at) : -1
        if (end === -1) depth++
        else if (depth === 0) return end + 1
        else at = end
      } else if (kind === 2) {
        if (depth === 0) return at > from ? at : -1
        if (--depth === 0) return at + 1
      } else if (depth === 0 && (byte === COMMA || byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)) return at > from ? at : -1
    }
    return depth === 0 && bytes.length > from ? bytes.length : -1
  }

  /** Where a long list of numbers closes: what is searched for is found many times faster than what is looked at. */
  #flatEnd(from: number): number {
    if (this.#nextClose < from) {
      const found = this.bytes.indexOf(CLOSE_LIST, from)
      this.#nextClose = found === -1 ? Number.POSITIVE_INFINITY : found
    }
    const end = this.#nextClose
    if (end - from < flatMin || end === Number.POSITIVE_INFINITY) return -1
    // Up to the first list inside, so that none is searched twice.
    const inside = this.bytes.subarray(from + 1, end)
    return notFlat.some((byte) => inside.includes(byte)) ? -1 : end
  }

  /** Where the text ends that begins at `from`; -1: there is none. */
  textEnd(from: number): number {
    const { bytes } = this
    if (bytes[from] !== QUOTE) return -1
    for (let quote = bytes.indexOf(QUOTE, from + 1); quote !== -1; quote = bytes.indexOf(QUOTE, quote + 1)) {
      let slashes = 0
      while (bytes[quote - 1 - slashes] === BACKSLASH) slashes++
      if (slashes % 2 === 0) return quote + 1
    }
    return -1
  }

  /** What is written there; undefined: no JSON, or more of it than such a value has. */
  value(from: number, to: number): unknown {
    if (to - from > valueMax) return undefined
    try {
      return JSON.parse(this.bytes.toString('utf8', from, to))
    } catch {
      return undefined
    }
  }
}

/** Members of one object; more than any API has. */
const namesMax = 1024
/** Of what is neither data nor the text of a prompt. Bytes. */
const valueMax = 65_536

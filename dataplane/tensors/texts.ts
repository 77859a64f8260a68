const [QUOTE, BACKSLASH, COMMA, OPEN, CLOSE] = [0x22, 0x5c, 0x2c, 0x5b, 0x5d]

/**
 * The texts of a list of JSON as BYTES: each after its length. What is not UTF-8 stays as it is. Undefined: they are not
 * so many, or not all of them texts.
 */
export function readTexts(list: Buffer, from: number, to: number, count: number): Buffer | undefined {
  if (count > 0 && to - from < 3 * count) return undefined
  // The shortest, `"",`, takes one byte more than it took.
  const data = Buffer.allocUnsafeSlow(Math.ceil((to - from) * 4 / 3) + 8)
  let size = 0
  let done = 0
  let separated = true
  for (let at = from + 1; at < to - 1;) {
    const byte = list[at] ?? 0
    if (byte === COMMA && !separated) {
      separated = true
      at++
    } else if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09 || byte === OPEN || byte === CLOSE) at++
    else if (byte === QUOTE && separated && done < count) {
      const end = unescape(list, at + 1, to, data, size + 4)
      if (end === undefined) return undefined
      data.writeUInt32LE(end.size - size - 4, size)
      size = end.size
      at = end.at
      done++
      separated = false
    } else return undefined
  }
  return done === count && (count === 0 || !separated) ? data.subarray(0, size) : undefined
}

const escapes: Readonly<Record<number, number>> = { 0x22: 0x22, 0x5c: 0x5c, 0x2f: 0x2f, 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9 }

/** Copies up to the quote at its end. */
function unescape(list: Buffer, from: number, to: number, data: Buffer, start: number): { at: number; size: number } | undefined {
  let size = start
  for (let at = from; at < to; at++) {
    const byte = list[at] ?? 0
    if (byte === QUOTE) return { at: at + 1, size }
    if (byte < 0x20) return undefined
    if (byte !== BACKSLASH) {
      data[size++] = byte
      continue
    }
    const kind = list[++at] ?? 0
    const plain = escapes[kind]
    if (plain !== undefined) data[size++] = plain
    else {
      const unit = kind === 0x75 ? unitAt(list, at + 1) : undefined
      if (unit === undefined) return undefined
      at += 4
      let point = unit
      if (unit >= 0xd800 && unit < 0xe000) {
        const low = unit < 0xdc00 && list[at + 1] === BACKSLASH && list[at + 2] === 0x75 ? unitAt(list, at + 3) : undefined
        // Half of a pair is no character.
        if (low === undefined || low < 0xdc00 || low >= 0xe000) return undefined
        at += 6
        point = 0x10000 + ((unit - 0xd800) << 10) + low - 0xdc00
      }
      size += data.write(String.fromCodePoint(point), size)
    }
  }
  return undefined
}

function unitAt(list: Buffer, at: number): number | undefined {
  const digits = list.toString('latin1', at, at + 4)
  return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : undefined
}

/** Calls back with where each element of BYTES is; false: there is something else among them. */
export function eachText(data: Buffer, take: (from: number, to: number) => void): boolean {
  for (let at = 0; at < data.length;) {
    if (at + 4 > data.length) return false
    const end = at + 4 + data.readUInt32LE(at)
    if (end > data.length) return false
    take(at + 4, end)
    at = end
  }
  return true
}

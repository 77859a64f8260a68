import { brainFrom } from './halves.ts'

/**
 * The elements of a list of JSON, or of lists within lists, as bytes. It is the shape that counts: brackets inside are
 * passed over. Undefined: they are not so many, or not of that datatype.
 */
export function readNumbers(datatype: string, text: Buffer, from: number, to: number, count: number, width: number): Buffer | undefined {
  // So that a shape cannot ask for more memory than its list could fill.
  if (count > 0 && to - from < 2 * count + 1) return undefined
  const data = Buffer.allocUnsafeSlow(count * width)
  if (datatype === 'INT64' || datatype === 'UINT64') return readLongs(datatype === 'INT64', text, from, to, new DataView(data.buffer), count) ? data : undefined
  const take = takers[datatype]?.(data)
  return take !== undefined && readWindows(text, from, to, count, datatype, take) ? data : undefined
}

type Numbers = ArrayLike<unknown>

/** Writes numbers from one place on; false: one of them is none of the datatype. */
type Take = (numbers: Numbers, at: number) => boolean

const integers = (make: (data: Buffer) => Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array) => (data: Buffer): Take => {
  const all = make(data)
  return (numbers, at) => {
    for (let i = 0; i < numbers.length; i++) {
      const value = numbers[i]
      // What does not fit comes back as something else.
      if (typeof value !== 'number' || (all[at + i] = value) !== all[at + i]) return false
    }
    return true
  }
}

const floats = (make: (data: Buffer) => Float16Array | Float32Array | Float64Array) => (data: Buffer): Take => {
  const all = make(data)
  return (numbers, at) => {
    for (let i = 0; i < numbers.length; i++) {
      const value = numbers[i]
      if (typeof value !== 'number') return false
      all[at + i] = value
    }
    return true
  }
}

const takers: Readonly<Record<string, (data: Buffer) => Take>> = {
  INT8: integers(({ buffer }) => new Int8Array(buffer)),
  INT16: integers(({ buffer }) => new Int16Array(buffer)),
  INT32: integers(({ buffer }) => new Int32Array(buffer)),
  UINT8: integers(({ buffer }) => new Uint8Array(buffer)),
  UINT16: integers(({ buffer }) => new Uint16Array(buffer)),
  UINT32: integers(({ buffer }) => new Uint32Array(buffer)),
  FP32: floats(({ buffer }) => new Float32Array(buffer)),
  FP64: floats(({ buffer }) => new Float64Array(buffer)),
  FP16: floats(({ buffer }) => new Float16Array(buffer)),
  BF16: (data) => {
    const all = new Uint16Array(data.buffer)
    return (numbers, at) => {
      for (let i = 0; i < numbers.length; i++) {
        const value = numbers[i]
        if (typeof value !== 'number') return false
        all[at + i] = brainFrom(value)
      }
      return true
    }
  },
  BOOL: (data) => (numbers, at) => {
    for (let i = 0; i < numbers.length; i++) {
      const value = numbers[i]
      if (typeof value !== 'boolean' && value !== 0 && value !== 1) return false
      data[at + i] = Number(value)
    }
    return true
  },
}

/** Of text that is parsed at once: bounds what the numbers take before they are where they belong. */
const windowMax = 262_144
/** Bytes of a number, on the average, up to which it is one of few digits. */
const shortMax = 12
const COMMA = 44

function readWindows(text: Buffer, from: number, to: number, count: number, datatype: string, take: Take): boolean {
  const list = text.subarray(from + 1, to - 1)
  const nested = list.includes('[')
  const short = !nested && datatype !== 'BOOL' && list.length < shortMax * count
  if (count === 0) return !/[^\s[\],]/.test(list.toString('latin1', 0, windowMax)) && list.length <= windowMax
  let done = 0
  for (let at = 0; at <= list.length;) {
    const comma = at + windowMax < list.length ? list.indexOf(COMMA, at + windowMax) : -1
    const end = comma === -1 ? list.length : comma
    const numbers = (short ? scan(list, at, end) : undefined) ?? parse(list.toString('latin1', at, end), nested, datatype)
    if (numbers === undefined || done + numbers.length > count || !take(numbers, done)) return false
    done += numbers.length
    at = end + 1
  }
  return done === count
}

/** Of one window: the shortest numbers take a digit and a comma. */
const scanned = new Float64Array(262_144)
const powers = Array.from({ length: 23 }, (_, at) => 10 ** at)

/**
 * Numbers of few digits, which V8 parses more slowly than this: the digits and the power of ten that they are divided by
 * are exact, so that the quotient is the nearest number. Undefined: there is something else too.
 */
function scan(list: Buffer, from: number, to: number): Float64Array | undefined {
  let count = 0
  for (let at = from; at < to; at++) {
    while (list[at] === 0x20 || list[at] === 0x0a) at++
    const negative = list[at] === 0x2d
    if (negative) at++
    const start = at
    let value = 0
    let byte = list[at] ?? 0
    for (; byte >= 48 && byte <= 57; byte = list[++at] ?? 0) value = value * 10 + byte - 48
    const whole = at - start
    if (whole === 0 || (whole > 1 && list[start] === 48)) return undefined
    let fraction = 0
    if (byte === 0x2e) {
      for (byte = list[++at] ?? 0; byte >= 48 && byte <= 57; byte = list[++at] ?? 0) value = value * 10 + byte - 48
      fraction = at - start - whole - 1
      if (fraction === 0) return undefined
      value /= powers[fraction] ?? Number.NaN
    }
    if (whole + fraction > 15 || (at < to && byte !== COMMA) || at > to) return undefined
    scanned[count++] = negative ? -value : value
  }
  return list[to - 1] === COMMA ? undefined : scanned.subarray(0, count)
}

function parse(text: string, nested: boolean, datatype: string): Numbers | undefined {
  const written = nested ? text.replaceAll(/[[\]]/g, ' ') : text
  try {
    const numbers: unknown = JSON.parse(`[${written}]`)
    return Array.isArray(numbers) ? numbers : undefined
  } catch {
    return floating.has(datatype) ? parseOdd(written) : undefined
  }
}

const floating = new Set(['FP16', 'BF16', 'FP32', 'FP64'])

/** As Triton writes what JSON has no word for; others write `null`. */
const odd = new Map([['NaN', Number.NaN], ['Infinity', Number.POSITIVE_INFINITY], ['-Infinity', Number.NEGATIVE_INFINITY], ['null', Number.NaN]])

function parseOdd(written: string): Numbers | undefined {
  const numbers: number[] = []
  for (const piece of written.split(',')) {
    const token = piece.trim()
    const value = odd.get(token) ?? (/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(token) ? Number(token) : undefined)
    if (value === undefined) return undefined
    numbers.push(value)
  }
  return numbers
}

/** Beyond 53 bits a number of JavaScript is not exact, so these are read digit by digit. */
function readLongs(signed: boolean, text: Buffer, from: number, to: number, data: DataView, count: number): boolean {
  let done = 0
  let separated = true
  for (let at = from + 1; at < to - 1;) {
    const byte = text[at] ?? 0
    if (byte === COMMA) {
      if (separated) return false
      separated = true
      at++
    } else if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09 || byte === 0x5b || byte === 0x5d) at++
    else {
      if (!separated || done === count) return false
      const start = at
      const negative = byte === 0x2d
      if (negative) at++
      const digits = at
      let value = 0
      for (let digit = text[at] ?? 0; digit >= 48 && digit <= 57; digit = text[++at] ?? 0) value = value * 10 + digit - 48
      if (at === digits || (text[digits] === 48 && at > digits + 1)) return false
      const next = text[at]
      if (next === 0x2e || next === 0x65 || next === 0x45) {
        while (at < to - 1 && text[at] !== COMMA && text[at] !== 0x5d) at++
        const whole = wholeOf(text.toString('latin1', start, at))
        if (whole === undefined || !putLong(signed, data, done * 8, whole)) return false
      } else if (at - digits <= 15) {
        if (negative && !signed && value !== 0) return false
        putSmall(data, done * 8, value, negative)
      } else if (!putDigits(signed, data, done * 8, text, digits, at, negative)) return false
      done++
      separated = false
    }
  }
  return done === count && (count === 0 || !separated)
}

/** More digits than a number holds exactly: the last nine, and those before them. */
function putDigits(signed: boolean, data: DataView, at: number, text: Buffer, from: number, to: number, negative: boolean): boolean {
  if (to - from > 20) return false
  let upper = 0
  for (let i = from; i < to - 9; i++) upper = upper * 10 + (text[i] ?? 0) - 48
  let lower = 0
  for (let i = to - 9; i < to; i++) lower = lower * 10 + (text[i] ?? 0) - 48
  // upper * 10^9 + lower, by 16 bits: no step is larger than what a number holds exactly.
  const first = (upper % 65_536) * 1e9 + lower
  const rest = Math.floor(upper / 65_536) * 1e9 + Math.floor(first / 65_536)
  const low = (rest % 65_536) * 65_536 + (first % 65_536)
  const high = Math.floor(rest / 65_536)
  if (high > 0xffffffff || (negative && !signed)) return false
  if (signed && high >= 0x80000000 && !(negative && high === 0x80000000 && low === 0)) return false
  data.setUint32(at, negative ? -low >>> 0 : low, true)
  data.setUint32(at + 4, negative ? ~high + (low === 0 ? 1 : 0) : high, true)
  return true
}

function wholeOf(token: string): bigint | undefined {
  const value = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\s*$/.test(token) ? Number(token) : Number.NaN
  return Number.isSafeInteger(value) ? BigInt(value) : undefined
}

function putLong(signed: boolean, data: DataView, at: number, value: bigint): boolean {
  if (BigInt.asIntN(64, value) !== value && (signed || BigInt.asUintN(64, value) !== value)) return false
  if (!signed && value < 0n) return false
  data.setBigUint64(at, BigInt.asUintN(64, value), true)
  return true
}

/** Of 53 bits, without a bigint. */
function putSmall(data: DataView, at: number, size: number, negative: boolean): void {
  const low = size >>> 0
  const high = (size - low) / 2 ** 32
  data.setUint32(at, negative ? -low >>> 0 : low, true)
  data.setUint32(at + 4, negative ? ~high + (low === 0 ? 1 : 0) : high, true)
}

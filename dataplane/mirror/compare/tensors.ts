import type { Findings } from './findings.ts'
import { isRecord, within, type Ignore } from './json.ts'
import { compareLabels } from './labels.ts'
import { sliceLength, type Sliced } from '../../sliced.ts'
import { apart, type Tolerance } from './tolerance.ts'

/** Numbers of at most 53 bits, of 64 bits, or texts. */
type Values = ArrayLike<number> | BigInt64Array | BigUint64Array | readonly string[]

/** One output of the Open Inference Protocol (V2). */
export type Tensor = Readonly<{ name: string; shape: readonly number[]; datatype: string; values: Values }>

/** The outputs of an answer, by name, in their order. */
export type Tensors = ReadonlyMap<string, Tensor>

/**
 * Out of the JSON of an answer and, by the binary data extension, the bytes after it.
 * @returns undefined where it is not what the protocol says
 */
export function tensorsOf(answer: unknown, binary: Buffer): Tensors | undefined {
  const outputs = isRecord(answer) ? answer['outputs'] : undefined
  if (!Array.isArray(outputs)) return undefined
  const found = new Map<string, Tensor>()
  let at = 0
  for (const output of outputs as readonly unknown[]) {
    if (!isRecord(output)) return undefined
    const { name, shape, datatype, data, parameters } = output
    if (typeof name !== 'string' || typeof datatype !== 'string' || !isShape(shape) || found.has(name)) return undefined
    const size = isRecord(parameters) ? parameters['binary_data_size'] : undefined
    let values: Values | undefined
    if (typeof size === 'number' && Number.isSafeInteger(size) && size >= 0) {
      values = rawValues(datatype, binary.subarray(at, at + size))
      at += size
      if (at > binary.length) return undefined
    } else if (Array.isArray(data)) values = listedValues(datatype, data)
    if (values === undefined) return undefined
    found.set(name, { name, shape, datatype, values })
  }
  return found
}

function isShape(shape: unknown): shape is readonly number[] {
  return Array.isArray(shape) && shape.every((length) => typeof length === 'number')
}

/** Lists within lists are as good as one list (it is the shape that counts). */
function listedValues(datatype: string, data: readonly unknown[]): Values | undefined {
  const flat: readonly unknown[] = data.some(Array.isArray) ? data.flat(64) : data
  if (datatype === 'BYTES') return flat.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
  const values = flat.map((value) => (typeof value === 'boolean' ? Number(value) : value))
  return values.every((value) => typeof value === 'number' || value === null) ? values.map((value) => value ?? Number.NaN) : undefined
}

/** Little-endian, one after the other. */
export function rawValues(datatype: string, bytes: Buffer): Values | undefined {
  const width = widths.get(datatype)
  if (width === undefined) return datatype === 'BYTES' ? textsIn(bytes) : undefined
  if (bytes.length % width !== 0) return undefined
  const { buffer, byteOffset, length } = bytes
  const aligned = buffer.slice(byteOffset, byteOffset + length)
  switch (datatype) {
    case 'INT8': return new Int8Array(aligned)
    case 'INT16': return new Int16Array(aligned)
    case 'INT32': return new Int32Array(aligned)
    case 'INT64': return new BigInt64Array(aligned)
    case 'UINT16': return new Uint16Array(aligned)
    case 'UINT32': return new Uint32Array(aligned)
    case 'UINT64': return new BigUint64Array(aligned)
    case 'FP16': return widened(new Uint16Array(aligned), half)
    case 'BF16': return widened(new Uint16Array(aligned), brain)
    case 'FP32': return new Float32Array(aligned)
    case 'FP64': return new Float64Array(aligned)
  }
  return new Uint8Array(aligned)
}

const widths = new Map([
  ['BOOL', 1], ['INT8', 1], ['UINT8', 1], ['INT16', 2], ['UINT16', 2], ['FP16', 2], ['BF16', 2],
  ['INT32', 4], ['UINT32', 4], ['FP32', 4], ['INT64', 8], ['UINT64', 8], ['FP64', 8],
])

/** By hand: `from` with a function takes ten times as long. */
function widened(words: Uint16Array, read: (bits: number) => number): Float32Array {
  const wide = new Float32Array(words.length)
  for (let at = 0; at < words.length; at++) wide[at] = read(words[at] ?? 0)
  return wide
}

const bits = new Uint32Array(1)
const float = new Float32Array(bits.buffer)

/** The upper half of a number of 32 bits (bfloat16). */
function brain(word: number): number {
  bits[0] = word << 16
  return float[0] ?? 0
}

/** A number of IEEE 754 binary16. */
function half(word: number): number {
  const exponent = (word >> 10) & 31
  const fraction = word & 1023
  const size = exponent === 31 ? (fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN)
    : exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25)
  return (word & 0x8000) === 0 ? size : -size
}

/** More texts than this in one tensor take too long to read in one go. */
const textsMax = 65_536

/** Each with its length before it, in four bytes. */
function textsIn(bytes: Buffer): readonly string[] | undefined {
  const texts: string[] = []
  for (let at = 0; at < bytes.length;) {
    if (at + 4 > bytes.length || texts.length === textsMax) return undefined
    const end = at + 4 + bytes.readUInt32LE(at)
    if (end > bytes.length) return undefined
    texts.push(bytes.toString('utf8', at + 4, end))
    at = end
  }
  return texts
}

const scores = new Set(['FP16', 'BF16', 'FP32', 'FP64'])

/** Outputs in any order; `ignore` names them by their position in `a`, or by name. */
export function* compareTensors(a: Tensors, b: Tensors, terms: Tolerance, ignore: Ignore | undefined, findings: Findings): Sliced {
  const outputs = ignore && within(ignore, 'outputs')
  if (outputs?.whole === true) return
  const ignored = (name: string, position: number) => [outputs?.inner.get(name), outputs && within(outputs, String(position))]
    .some((inner) => inner !== undefined && (inner.whole || within(inner, 'data')?.whole === true))
  let position = 0
  for (const [name, one] of a) {
    const place = placeOf(name)
    if (ignored(name, position++)) continue
    const other = b.get(name)
    if (other === undefined) findings.add(place, 'missing')
    else if (one.datatype !== other.datatype) findings.add(place, 'datatype')
    else if (one.shape.length !== other.shape.length || one.shape.some((length, i) => length !== other.shape[i])) findings.add(place, 'shape')
    else if (one.values.length !== other.values.length) findings.add(place, 'length')
    else yield* compareValues(one, other, terms, findings, place)
  }
  position = 0
  for (const name of b.keys()) if (!ignored(name, position++) && !a.has(name)) findings.add(placeOf(name), 'extra')
}

/** Names of outputs are the model's. */
const placeOf = (name: string) => `/outputs/${name.slice(0, 64)}`

function* compareValues({ values: a, datatype, shape }: Tensor, { values: b }: Tensor, terms: Tolerance, findings: Findings, place: string): Sliced {
  for (let at = 0; at < a.length; at++) {
    const [one, other] = [a[at], b[at]]
    if (one !== other) compareValue(one, other, terms, findings, place)
    if (at % sliceLength === sliceLength - 1) yield
  }
  const row = shape.at(-1) ?? 0
  if (!scores.has(datatype) || row < 2 || !isNumbers(a) || !isNumbers(b) || a.length % row !== 0) return
  for (let from = 0, since = 0; from < a.length; from += row) {
    compareLabels(a, b, from, row, findings)
    since += row
    if (since >= sliceLength) {
      since = 0
      yield
    }
  }
}

function compareValue(a: unknown, b: unknown, terms: Tolerance, findings: Findings, place: string): void {
  if (typeof a === 'string' && typeof b === 'string') {
    compareClasses(a, b, terms, findings, place)
    return
  }
  const distance = apart(Number(a), Number(b), terms)
  if (distance !== 0) findings.add(place, 'value', distance)
  // Beyond 53 bits they may differ and look the same as numbers.
  else if (typeof a === 'bigint' && typeof b === 'bigint' && terms.absolute === 0 && terms.relative === 0) findings.add(place, 'value')
}

/** Triton's classification extension writes the classes in order of their scores, `0.93:7:cat`. */
function compareClasses(a: string, b: string, terms: Tolerance, findings: Findings, place: string): void {
  const [one, other] = [a, b].map((text) => /^(?<score>-?(?:\d|inf|nan)[\d.eE+-]*):(?<label>\d+(?::.*)?)$/s.exec(text)?.groups)
  if (one === undefined || other === undefined) findings.add(place, 'value')
  else if (one['label'] !== other['label']) findings.add(place, 'order')
  else {
    const distance = apart(Number(one['score']), Number(other['score']), terms)
    if (distance !== 0) findings.add(place, 'value', distance)
  }
}

/** Numbers of 64 bits are no scores. */
function isNumbers(values: Values): values is ArrayLike<number> {
  return typeof values[0] === 'number'
}

import { halfTo, brainTo } from '../../tensors/halves.ts'
import { elementsOf, type Tensor } from '../../tensors/tensor.ts'

/** A tensor whose elements can be asked for one by one. */
export type Elements = Readonly<{ name: string; rows: number; width: number; at(index: number): unknown }>

const readers: ReadonlyMap<string, (data: Buffer, index: number) => unknown> = new Map<string, (data: Buffer, index: number) => unknown>([
  ['BOOL', (data, i) => data.readUInt8(i) !== 0],
  ['INT8', (data, i) => data.readInt8(i)],
  ['UINT8', (data, i) => data.readUInt8(i)],
  ['INT16', (data, i) => data.readInt16LE(2 * i)],
  ['UINT16', (data, i) => data.readUInt16LE(2 * i)],
  ['INT32', (data, i) => data.readInt32LE(4 * i)],
  ['UINT32', (data, i) => data.readUInt32LE(4 * i)],
  ['INT64', (data, i) => data.readBigInt64LE(8 * i)],
  ['UINT64', (data, i) => data.readBigUInt64LE(8 * i)],
  ['FP16', (data, i) => halfTo(data.readUInt16LE(2 * i))],
  ['BF16', (data, i) => brainTo(data.readUInt16LE(2 * i))],
  ['FP32', (data, i) => data.readFloatLE(4 * i)],
  ['FP64', (data, i) => data.readDoubleLE(8 * i)],
])

/** Undefined: its data are elsewhere, or not as long as its shape says. */
export function elementsIn({ name, datatype, shape, data }: Tensor): Elements | undefined {
  const count = elementsOf(shape)
  if (data === undefined || count === undefined) return undefined
  const size = sizeOf(shape, count)
  if (datatype === 'BYTES') {
    const texts = textsIn(data, count)
    return texts && { name, ...size, at: (index) => texts[index] }
  }
  const read = readers.get(datatype)
  return read && { name, ...size, at: (index) => elementOf(data, index, read) }
}

function elementOf(data: Buffer, index: number, read: (data: Buffer, index: number) => unknown): unknown {
  try {
    return read(data, index)
  } catch {
    return undefined
  }
}

export function sizeOf([rows = 1]: readonly number[], count: number): { rows: number; width: number } {
  return { rows, width: rows === 0 ? 0 : count / rows }
}

/** Texts are found one after the other. */
function textsIn(data: Buffer, count: number): readonly string[] | undefined {
  const texts: string[] = []
  for (let at = 0; texts.length < count;) {
    if (at + 4 > data.length) return undefined
    const end = at + 4 + data.readUInt32LE(at)
    if (end > data.length) return undefined
    texts.push(data.toString('utf8', at + 4, end))
    at = end
  }
  return texts
}

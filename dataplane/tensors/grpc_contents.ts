import { FieldReader } from '../protocols/protobuf.ts'
import { widths } from './tensor.ts'

/** InferTensorContents: the field of each datatype (int_contents for all signed ones of up to 32 bits, and so on). */
const fields: Readonly<Record<string, number>> = {
  BOOL: 1, INT8: 2, INT16: 2, INT32: 2, INT64: 3, UINT8: 4, UINT16: 4, UINT32: 4, UINT64: 5, FP32: 6, FP64: 7, BYTES: 8,
}

/**
 * Typed contents as binary data. Undefined: they are of another datatype than the tensor, or do not fit into it.
 * Empty contents are no elements.
 */
export function readContents(message: Buffer, datatype: string): Buffer | undefined {
  const wanted = fields[datatype]
  const parts: Buffer[] = []
  const reader = new FieldReader(message)
  while (reader.next()) {
    if (reader.field !== wanted) return undefined
    if (wanted === 8) {
      const head = Buffer.allocUnsafe(4)
      head.writeUInt32LE(reader.to - reader.from)
      parts.push(head)
    }
    parts.push(reader.value)
  }
  if (reader.broken) return undefined
  const [only] = parts
  const bytes = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
  if (wanted === 8) return bytes
  const width = widths.get(datatype) ?? 0
  if (wanted === 6 || wanted === 7) return bytes.length % width === 0 ? bytes : undefined
  return readVarints(bytes, datatype, width)
}

const put: Readonly<Record<string, (view: DataView, at: number, low: number, high: number) => boolean>> = {
  BOOL: (view, at, low, high) => (view.setUint8(at, low === 0 && high === 0 ? 0 : 1), true),
  INT8: (view, at, low) => (view.setInt8(at, low), view.getInt8(at) === (low | 0)),
  INT16: (view, at, low) => (view.setInt16(at, low, true), view.getInt16(at, true) === (low | 0)),
  INT32: (view, at, low) => (view.setInt32(at, low, true), true),
  UINT8: (view, at, low) => (view.setUint8(at, low), view.getUint8(at) === low >>> 0),
  UINT16: (view, at, low) => (view.setUint16(at, low, true), view.getUint16(at, true) === low >>> 0),
  UINT32: (view, at, low) => (view.setUint32(at, low, true), true),
  INT64: putLong,
  UINT64: putLong,
}

function putLong(view: DataView, at: number, low: number, high: number): boolean {
  view.setUint32(at, low, true)
  view.setUint32(at + 4, high, true)
  return true
}

/** One varint after the other, all 64 bits of each in two halves. */
function readVarints(bytes: Buffer, datatype: string, width: number): Buffer | undefined {
  let count = 0
  for (const byte of bytes) if (byte < 0x80) count++
  const data = Buffer.allocUnsafeSlow(count * width)
  const view = new DataView(data.buffer)
  const store = put[datatype]
  let at = 0
  let [low, high, shift] = [0, 0, 0]
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    const seven = byte & 0x7f
    if (shift < 28) low |= seven << shift
    else if (shift === 28) {
      low |= seven << 28
      high = seven >> 4
    } else if (shift <= 63) high |= seven << (shift - 32)
    else return undefined
    if (byte >= 0x80) {
      shift += 7
      continue
    }
    if (store?.(view, at, low, high) !== true) return undefined
    at += width
    low = high = shift = 0
  }
  return shift === 0 ? data : undefined
}

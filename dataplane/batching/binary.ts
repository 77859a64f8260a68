/** Tensors in binary, as Triton's binary data extension and gRPC's raw contents have them: values one after the other, BYTES with their lengths before them. */

const widths: ReadonlyMap<string, number> = new Map([
  ['BOOL', 1], ['UINT8', 1], ['INT8', 1], ['UINT16', 2], ['INT16', 2], ['FP16', 2], ['BF16', 2],
  ['UINT32', 4], ['INT32', 4], ['FP32', 4], ['UINT64', 8], ['INT64', 8], ['FP64', 8],
])

/** Where the rows end, in order; undefined: the bytes are not so many rows. @param perRow values of one */
export function rowEnds(bytes: Buffer, datatype: string, rows: number, perRow: number): readonly number[] | undefined {
  const width = widths.get(datatype)
  if (width !== undefined) {
    const row = width * perRow
    return bytes.length === row * rows ? Array.from({ length: rows }, (_, at) => (at + 1) * row) : undefined
  }
  if (datatype !== 'BYTES') return undefined
  const ends: number[] = []
  let at = 0
  for (let value = 1; value <= rows * perRow; value++) {
    if (at + 4 > bytes.length) return undefined
    at += 4 + bytes.readUInt32LE(at)
    if (value % perRow === 0) ends.push(at)
  }
  return at === bytes.length ? ends : undefined
}

/** A head that came before, with its end, as bytes: the next one is known for the same before it is read. */
export function bytesOf(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(text.length)
  bytes.write(text, 'latin1')
  return bytes
}

/** @param at where `begun` must begin in `bytes` */
export function beginsWith(bytes: Buffer, at: number, begun: Buffer): boolean {
  const end = at + begun.length
  // What differs mostly does so in its length, so that its end stands elsewhere.
  return end <= bytes.length && bytes[end - 1] === 10 && bytes[end - 5] === begun[begun.length - 5]
    && bytes.compare(begun, 0, begun.length, at, end) === 0
}

/** A line of a file; `text` undefined: it is longer than any record is. */
export type TextLine = Readonly<{ number: number; text: string | undefined }>

/** Bytes of one line. */
const lineMax = 1_048_576
const newline = 0x0a

/** Reads lines as they come, and holds no more than one of them. */
export async function* linesIn(chunks: AsyncIterable<Buffer>): AsyncGenerator<TextLine> {
  let number = 0
  let held: Buffer[] = []
  let size = 0
  const line = (): TextLine => {
    const text = size > lineMax ? undefined : Buffer.concat(held).toString()
    held = []
    size = 0
    return { number: ++number, text }
  }
  const hold = (piece: Buffer): void => {
    size += piece.length
    if (size <= lineMax) held.push(piece)
    else held = []
  }
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      hold(chunk.subarray(from, end))
      yield line()
      from = end + 1
    }
    if (from < chunk.length) hold(Buffer.from(chunk.subarray(from)))
  }
  if (size > 0) yield line()
}

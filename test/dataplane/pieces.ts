/** A body in pieces of these sizes, over and over; each in memory of its own that is wiped once the next is asked for. */
export function* cutUp(body: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < body.length; i++) {
    const piece = Buffer.from(body.subarray(at, at + Math.max(1, sizes[i % sizes.length] ?? body.length)))
    at += piece.length
    yield piece
    piece.fill(0xaa)
  }
}

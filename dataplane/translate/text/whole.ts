import type { Piece, PieceReader } from './ask.ts'

/** Takes apart an answer that comes as one, once it is all there. */
export function wholeReader(piecesIn: (body: Buffer) => readonly Piece[] | undefined): PieceReader {
  const chunks: Buffer[] = []
  return {
    push(chunk) {
      chunks.push(Buffer.from(chunk))
      return []
    },
    end: () => piecesIn(Buffer.concat(chunks)),
  }
}

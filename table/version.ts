import { createHash, hash } from 'node:crypto'
import { knownDifference } from './changes.ts'

/** A table's content without its items: the hash of each, by id. Both halves compute it, so a lost update shows. */
export type Hashes = ReadonlyMap<string, string>

/** A text of its own: a part of a longer one would hold all of that. */
const digest = (text: string) => hash('sha256', text, 'buffer').toString('hex', 0, 16)

/** The item as it travels decides: the same JSON text, the same hash. */
export function hashOf(item: unknown): string {
  return hashOfText(JSON.stringify(item))
}

/** For a caller that has the item's JSON text already. */
export function hashOfText(text: string): string {
  return digest(text)
}

/** Entries in one piece of text; it is written anew when one of them changes. */
const pieceLength = 64

/** A version's text in pieces, sorted: `ids` of those in each piece, and the lines of them. */
type Piece = { lines: string[]; text: string }

/** Of the map that was asked for last of each kind: whoever asks for one that follows it goes on from there. */
const known = new WeakMap<Hashes, Piece[]>()

const lineOf = (id: string, hash: string) => `${id}\n${hash}\n`

/** The same items, the same version, whatever the order they came in. */
export function versionOf(hashes: Hashes, before?: Hashes): string {
  const pieces = piecesOf(hashes, before)
  known.set(hashes, pieces)
  const sum = createHash('sha256')
  for (const { text } of pieces) sum.update(text)
  return sum.digest('hex').slice(0, 32)
}

function piecesOf(hashes: Hashes, before: Hashes | undefined): Piece[] {
  const pieces = before && known.get(before)
  const keys = before && knownDifference(before, hashes)
  if (before === undefined || pieces === undefined || keys === undefined || keys.size > pieces.length) return fresh(hashes)
  // They go over to the map that follows; the one before is hardly asked for again, and would be read anew.
  if (hashes !== before) known.delete(before)
  for (const id of keys) {
    const [old, next] = [before.get(id), hashes.get(id)]
    if (old === next) continue
    if (old !== undefined) take(pieces, lineOf(id, old))
    if (next !== undefined) put(pieces, lineOf(id, next))
  }
  return pieces
}

function fresh(hashes: Hashes): Piece[] {
  const lines = [...hashes].map(([id, hash]) => lineOf(id, hash)).sort()
  const pieces: Piece[] = []
  for (let at = 0; at < lines.length; at += pieceLength) {
    const own = lines.slice(at, at + pieceLength)
    pieces.push({ lines: own, text: own.join('') })
  }
  return pieces
}

/** The first at which a line is not after it. */
function search<T>(items: readonly T[], line: string, last: (item: T) => string): number {
  let [low, high] = [0, items.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const item = items[middle]
    if (item !== undefined && last(item) < line) low = middle + 1
    else high = middle
  }
  return low
}

const lastOf = ({ lines }: Piece) => lines.at(-1) ?? ''

function take(pieces: Piece[], line: string): void {
  const at = search(pieces, line, lastOf)
  const piece = pieces[at]
  const within = piece ? search(piece.lines, line, (each) => each) : -1
  if (piece?.lines[within] !== line) return
  piece.lines.splice(within, 1)
  if (piece.lines.length === 0) pieces.splice(at, 1)
  else piece.text = piece.lines.join('')
}

function put(pieces: Piece[], line: string): void {
  const at = Math.min(search(pieces, line, lastOf), Math.max(0, pieces.length - 1))
  const piece = pieces[at]
  if (piece === undefined) {
    pieces.push({ lines: [line], text: line })
    return
  }
  piece.lines.splice(search(piece.lines, line, (each) => each), 0, line)
  piece.text = piece.lines.join('')
  if (piece.lines.length <= 2 * pieceLength) return
  const rest = piece.lines.splice(pieceLength)
  piece.text = piece.lines.join('')
  pieces.splice(at + 1, 0, { lines: rest, text: rest.join('') })
}

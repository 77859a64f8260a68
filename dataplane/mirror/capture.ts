import type { FlatHeaders } from '../pipeline/headers.ts'
import { answerMax, type Answered } from './compare/answers.ts'
import type { Mirrors } from './mirrors.ts'

/** Keeps one answer, in bounded space. */
export class Capture {
  readonly #mirrors: Mirrors
  #status = 0
  #headers: Readonly<FlatHeaders> = []
  #chunks: Buffer[] = []
  #size = 0
  #closed = false
  /** Why it was not kept. */
  lost: 'too_large' | 'memory' | 'full' | undefined

  constructor(mirrors: Mirrors) {
    this.#mirrors = mirrors
  }

  head(status: number, headers: Readonly<FlatHeaders>): void {
    this.#status = status
    this.#headers = [...headers]
  }

  /** @param chunk is only lent */
  data(chunk: Buffer): void {
    if (this.#closed) return
    if (this.#size + chunk.length > answerMax) this.#lose('too_large')
    else if (!this.#mirrors.hold(chunk.length)) this.#lose('memory')
    else {
      this.#size += chunk.length
      this.#chunks.push(Buffer.from(chunk))
    }
  }

  #lose(why: 'too_large' | 'memory'): void {
    this.close()
    this.lost = why
  }

  /** All of it has come. */
  answered(grpcStatus: string | undefined): Answered {
    return { status: this.#status, headers: this.#headers, body: oneOf(this.#chunks, this.#size), grpcStatus }
  }

  /** Lets go of what it has, and keeps nothing more. */
  close(): void {
    this.#closed = true
    this.#mirrors.release(this.#size)
    this.#size = 0
    this.#chunks = []
  }
}

/** What the pieces are together; of one piece, it. */
export function oneOf(pieces: readonly Buffer[], size: number): Buffer {
  const [only] = pieces
  return only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces, size)
}

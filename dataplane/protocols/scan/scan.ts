/**
 * Looks into the body of a request while it comes, in pieces of any size, and keeps nothing but what it looks for. Once
 * that is decided the rest of the body is only watched: what would make another reader find something else is a fault,
 * up to the last byte.
 */
export interface BodyScan {
  /** What is looked for has been found, or cannot come any more. */
  readonly done: boolean
  /** The body could be read in another way, or is broken off: nothing of it can be believed. */
  readonly fault: string | undefined
  /** Takes the next piece. With a promise where that must be worked out elsewhere: until then nothing is given. */
  take(piece: Buffer): void | Promise<void>
  /** That was all. */
  end(): void | Promise<void>
}

/** Bytes that are kept of one value: more than any name has, and a bound on what a pattern is tried on. */
export const valueMax = 16_384

/** The model that a request names. */
export type Named = Readonly<{ name: string; version?: string }>

/** A value of a JSON body. `text`: of a string its content, of a number, `true`, `false` and `null` what stands there; of objects and lists nothing. */
export type BodyValue = Readonly<{
  kind: 'string' | 'scalar' | 'container'
  text: string
  /** It is longer than `valueMax`, and `text` is its beginning. */
  cut: boolean
}>

/**
 * Changes a body on its way, in pieces of any size. What it gives out may share memory with the piece in hand, and stays
 * true as long as that does.
 */
export interface BodyEditor {
  /** What keeps the body from being changed: nothing of it can be believed. */
  readonly fault: string | undefined
  /** @returns what goes on; with a promise where that must be worked out elsewhere, and until then nothing is given */
  take(piece: Buffer): readonly Buffer[] | Promise<readonly Buffer[]>
  /** That was all. @returns what is left */
  end(): readonly Buffer[]
}

/** A body that is here already. @returns why it cannot be changed, in words */
export async function editedWhole(editor: BodyEditor, body: Buffer): Promise<Buffer | string> {
  const pieces = [...await editor.take(body), ...editor.end()]
  return editor.fault ?? Buffer.concat(pieces)
}

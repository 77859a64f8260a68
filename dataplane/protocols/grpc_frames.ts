/** The frames of gRPC (PROTOCOL-HTTP2.md, Length-Prefixed-Message): a flag, four bytes of length, the message. */

export const frameHead = 5

/** The one message of a body; undefined where there is none, another, or it is compressed. Shares memory. */
export function onlyMessage(body: Buffer): Buffer | undefined {
  if (body.length < frameHead || body[0] !== 0 || body.readUInt32BE(1) !== body.length - frameHead) return undefined
  return body.subarray(frameHead)
}

/** A message in a frame of its own. */
export function framed(...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const head = Buffer.alloc(frameHead)
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, ...parts], frameHead + length)
}

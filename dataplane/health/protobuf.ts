/** As much of protocol buffers as two messages of one or two fields take. */

/** The message of the only frame of a gRPC body (one byte of flags, four of length); undefined: there is none that can be read. */
export function messageOf(body: Buffer): Buffer | undefined {
  if (body.length < 5 || body[0] !== 0) return undefined
  const length = body.readUInt32BE(1)
  return body.length < 5 + length ? undefined : body.subarray(5, 5 + length)
}

/** A message in a frame of its own. */
export function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** A string field. @param text shorter than 16 KiB */
export function textField(field: number, text: string): Buffer {
  const bytes = Buffer.from(text)
  const { length } = bytes
  const size = length < 128 ? [length] : [(length & 127) | 128, length >> 7]
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...size]), bytes])
}

/** A number, boolean or enum field; 0 where the message does not have it, undefined where it is no message. */
export function numberIn(message: Buffer, wanted: number): number | undefined {
  let at = 0
  let found = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; at < message.length; shift += 7) {
      const byte = message[at++] ?? 0
      if (shift < 28) value |= (byte & 127) << shift
      if (byte < 128) return value
    }
    at = Number.POSITIVE_INFINITY
    return 0
  }
  while (at < message.length) {
    const tag = varint()
    const wire = tag & 7
    if (wire === 0) {
      const value = varint()
      if (tag >> 3 === wanted) found = value
    } else if (wire === 1) at += 8
    else if (wire === 2) {
      const length = varint()
      at += length
    } else if (wire === 5) at += 4
    else return undefined
  }
  return at === message.length ? found : undefined
}

/** As many bytes as a turn of the event loop usually has to write, and then some. */
const room = Buffer.allocUnsafeSlow(65_536)

/** The bytes of a text, which are good until the next one is asked for. */
export function encode(text: string): Buffer {
  // Three bytes are the most that a UTF-16 unit takes.
  return text.length * 3 <= room.length ? room.subarray(0, room.write(text)) : Buffer.from(text)
}

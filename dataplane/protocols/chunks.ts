/** Sizes of chunks (RFC 9112 section 7.1), as a request and an answer have them. */

/** Hexadecimal digits of a size: more is no number that could be counted exactly. */
export const sizeDigitsMax = 12
/** Of the line of a size, its extensions included, which nobody knows (CVE-2024-22019). */
export const sizeLineMax = 1024

/** What the byte is worth as a hexadecimal digit; -1: it is none. */
export function hexadecimal(byte: number | undefined): number {
  if (byte === undefined) return -1
  if (byte >= 48 && byte <= 57) return byte - 48
  const letter = byte | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}

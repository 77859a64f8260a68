/** How an HTTP/2 connection begins that nobody announced (RFC 9113 section 3.3): no HTTP/1.1 method starts like it. */
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** Whether a connection that begins like this is one of HTTP/2; undefined: more of it must come. */
export function beginsHttp2(begun: Buffer): boolean | undefined {
  const length = Math.min(begun.length, preface.length)
  if (begun.compare(preface, 0, length, 0, length) !== 0) return false
  return length === preface.length ? true : undefined
}

import { METHODS } from '../http.ts'
import { known } from '../pipeline/headers.ts'

/** Bytes of a request's head, and of its trailers; more is answered with 431. */
export const headBytesMax = 16_384

/** The request line and the headers as they came, names in lower case. */
export type Head = Readonly<{ method: string; url: string; httpVersion: '1.0' | '1.1'; rawHeaders: readonly string[] }>

/** SOURCE is a method of ICE, and no request of HTTP. */
const methods: ReadonlySet<string> = new Set(METHODS.filter((method) => method !== 'SOURCE'))

const visible = /^[\x21-\x7e]+$/
/** What no value may hold: a control character, a CR or LF that ends no line. */
// oxlint-disable-next-line no-control-regex -- it is what is looked for
const impure = /[^\t\x20-\x7e\x80-\xff\r\n]|\r(?!\n)|(?<!\r)\n/

/** @param text the head without the empty line that ends it, in Latin-1. Undefined: it is not one (RFC 9112 sections 2 to 5) */
export function parseHead(text: string): Head | undefined {
  let end = text.indexOf('\r\n')
  if (end === -1) end = text.length
  const space = text.indexOf(' ')
  if (space === -1 || space > end) return undefined
  const method = text.slice(0, space)
  const version = text.slice(end - 9, end)
  const httpVersion = version === ' HTTP/1.1' ? '1.1' : version === ' HTTP/1.0' ? '1.0' : undefined
  if (httpVersion === undefined || !methods.has(method)) return undefined
  // More than one space before the target is read by all in one way.
  let from = space + 1
  while (text.charCodeAt(from) === 32) from++
  const url = text.slice(from, end - 9)
  if (!visible.test(url)) return undefined
  const rawHeaders = parseLines(text, end + 2)
  return rawHeaders && { method, url, httpVersion, rawHeaders }
}

/** Names and values from `at` on. Undefined: a line is no header; a folded one is none either. */
export function parseLines(text: string, from: number): string[] | undefined {
  if (impure.test(text)) return undefined
  const lines: string[] = []
  for (let at = from; at < text.length;) {
    let end = text.indexOf('\r\n', at)
    if (end === -1) end = text.length
    const colon = text.indexOf(':', at)
    if (colon === -1 || colon >= end) return undefined
    const { name, valid } = known(text.slice(at, colon))
    if (!valid) return undefined
    let begin = colon + 1
    let last = end
    while (begin < last && isBlank(text.charCodeAt(begin))) begin++
    while (last > begin && isBlank(text.charCodeAt(last - 1))) last--
    lines.push(name, text.slice(begin, last))
    at = end + 2
  }
  return lines
}

const isBlank = (code: number) => code === 32 || code === 9

import { known, Kind } from '../pipeline/headers.ts'

/** The backend did not speak HTTP, or not the HTTP it had announced. */
export class BadAnswer extends Error {
  readonly code = 'UPSTREAM_PROTOCOL'
}

/** The head of an answer, and what it says of the body's end (RFC 9112 section 6.3). */
export type AnswerHead = Readonly<{
  text: string
  status: number
  headers: readonly string[]
  /** Of an interim answer nothing is said. */
  chunked: boolean
  length: number | undefined
  /** Milliseconds that the connection is kept by the backend's own account, 0 for not at all; undefined: it does not say. */
  keeps: number | undefined
  /** The next answer may begin alike, and this one may be kept to compare: it is short, and for no single caller. */
  repeats: boolean
}>

/** Characters of a head that is kept. */
const keptMax = 1024
/** A connection is given up this long before the backend said it would close it. Milliseconds. */
const keepsMargin = 1000

const statusLine = /^HTTP\/1\.(?<minor>[01]) (?<status>[1-9]\d\d)(?: |$)/
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** A control character, a CR or LF that ends no line, a folded line. */
// oxlint-disable-next-line no-control-regex -- it is what is looked for
export const impure = /[^\t\x20-\x7e\x80-\xff\r\n]|\r(?!\n)|(?<!\r)\n|\n[\t ]/

/** Refuses by throwing BadAnswer what could be framed in another way by somebody else. */
export function parseHead(text: string): AnswerHead {
  if (impure.test(text)) throw new BadAnswer('the head of the answer holds what no head may hold')
  const end = text.indexOf('\r\n')
  const { minor, status: digits } = statusLine.exec(end === -1 ? text : text.slice(0, end))?.groups ?? {}
  if (digits === undefined) throw new BadAnswer('the answer does not begin with a status line')
  const status = Number(digits)
  const headers = end === -1 ? [] : linesOf(text, end + 2)
  if (status === 101) throw new BadAnswer('the backend switched to a protocol that was not asked for')
  if (status < 200) return { text, status, headers, chunked: false, length: undefined, keeps: undefined, repeats: false }
  const repeats = text.length <= keptMax && !headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'set-cookie')
  return { text, status, headers, repeats, ...framing(status, headers, minor === '1') }
}

function framing(status: number, headers: readonly string[], persistent: boolean): Pick<AnswerHead, 'chunked' | 'length' | 'keeps'> {
  let chunked = false
  let length: number | undefined
  let keeps = persistent ? undefined : 0
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const value = headers[i + 1] ?? ''
    const { name, kind } = known(headers[i] ?? '')
    if (kind === Kind.contentLength) {
      if (length !== undefined || !/^\d{1,15}$/.test(value)) throw new BadAnswer('the length of the answer is not one number')
      length = Number(value)
    } else if (kind === Kind.transferEncoding) {
      if (chunked || !persistent || value.toLowerCase() !== 'chunked') throw new BadAnswer('the only transfer encoding served here is chunked')
      chunked = true
    } else if (kind === Kind.connection && /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(value)) keeps = 0
    else if (name === 'keep-alive' && keeps === undefined) {
      const seconds = /(?:^|,)[\t ]*timeout=(?<seconds>\d{1,6})/i.exec(value)?.groups?.['seconds']
      if (seconds !== undefined) keeps = Math.max(0, Number(seconds) * 1000 - keepsMargin)
    }
  }
  if (chunked && length !== undefined) throw new BadAnswer('the answer has both a length and chunks')
  if (chunked && status === 204) throw new BadAnswer('an answer without a body has chunks')
  return { chunked, length, keeps }
}

/** Names and values from `at` on, one after the other. */
export function linesOf(text: string, at: number): string[] {
  const lines: string[] = []
  while (at < text.length) {
    let end = text.indexOf('\r\n', at)
    if (end === -1) end = text.length
    const colon = text.indexOf(':', at)
    if (colon === -1 || colon > end) throw new BadAnswer('a line of the head is no header')
    const name = text.slice(at, colon)
    if (!token.test(name)) throw new BadAnswer('the name of a header is no name')
    let from = colon + 1
    let to = end
    while (from < to && isBlank(text.charCodeAt(from))) from++
    while (to > from && isBlank(text.charCodeAt(to - 1))) to--
    lines.push(name, text.slice(from, to))
    at = end + 2
  }
  return lines
}

const isBlank = (code: number) => code === 32 || code === 9

/**
 * Requests that two HTTP implementations may read in two ways. Each goes out in one piece with a probe behind it, so
 * that whatever is left over of one would change the other.
 */
export type Case = Readonly<{ hazard: string; bytes: string; outcome: Outcome }>

/**
 * - `refused`: one answer with this status, then the connection ends; no backend hears of it, nor of the probe.
 * - `broken`: the head is right and the body is not. The backend may see the request begin and never whole; the client
 *   never gets a good answer, and the probe none.
 * - `served`: the backend sees exactly these, as `METHOD target length-of-body`, and then the probe.
 */
export type Outcome =
  | Readonly<{ kind: 'refused'; status: number }>
  | Readonly<{ kind: 'broken' }>
  | Readonly<{ kind: 'served'; seen: readonly string[] }>

const crlf = '\r\n'
const refused = (status = 400): Outcome => ({ kind: 'refused', status })
const broken: Outcome = { kind: 'broken' }
const served = (...seen: string[]): Outcome => ({ kind: 'served', seen })

const head = (line: string, ...headers: string[]) => [line, ...headers, '', ''].join(crlf)
const get = (...headers: string[]) => head('GET /x HTTP/1.1', 'Host: a', ...headers)
const post = (body: string, ...headers: string[]) => head('POST /x HTTP/1.1', 'Host: a', ...headers) + body
const chunked = (body: string, ...headers: string[]) => post(body, 'Transfer-Encoding: chunked', ...headers)
const target = (path: string) => head(`GET ${path} HTTP/1.1`, 'Host: a')
/** What an attacker would hide in a body, for the next reader to take for a request. */
const hidden = head('GET /smuggled HTTP/1.1', 'Host: a', 'X: y')

type Row = readonly [hazard: string, bytes: string, outcome: Outcome]

const lengths: readonly Row[] = [
  ['CL.TE', post(`0\r\n\r\n${hidden}`, `Content-Length: ${5 + hidden.length}`, 'Transfer-Encoding: chunked'), refused()],
  ['TE.CL', chunked(`${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`, 'Content-Length: 4'), refused()],
  ['CL.0 with TE: identity', post(hidden, 'Content-Length: 0', 'Transfer-Encoding: identity'), refused()],
  ['two lengths, the first one longer', post(hidden, `Content-Length: ${hidden.length}`, 'Content-Length: 0'), refused()],
  ['two lengths, the second one longer', post(hidden, 'Content-Length: 0', `Content-Length: ${hidden.length}`), refused()],
  ['two equal lengths', post('ab', 'Content-Length: 2', 'Content-Length: 2'), refused()],
  ['a list of lengths', post('ab', 'Content-Length: 2, 2'), refused()],
  ['a list of lengths that differ', post('ab', 'Content-Length: 2,3'), refused()],
  ['a length with a plus', post('ab', 'Content-Length: +2'), refused()],
  ['a negative length', post('ab', 'Content-Length: -2'), refused()],
  ['a length in hexadecimal', post('ab', 'Content-Length: 0x2'), refused()],
  ['a length with a fraction', post('ab', 'Content-Length: 2.0'), refused()],
  ['a length with an exponent', post('ab', 'Content-Length: 2e0'), refused()],
  ['a length with an underscore', post('ab', 'Content-Length: 0_2'), refused()],
  ['a length with a space inside', post('ab', 'Content-Length: 0 2'), refused()],
  ['an empty length', post('ab', 'Content-Length: '), refused()],
  ['a length of a word', post('ab', 'Content-Length: two'), refused()],
  ['a length beyond 64 bits', post('ab', 'Content-Length: 18446744073709551618'), refused()],
  ['a length beyond what a number holds exactly', post('ab', 'Content-Length: 9007199254740993'), refused()],
  ['a length with a NUL behind it', post('ab', 'Content-Length: 2\0'), refused()],
  ['a length with a vertical tab before it', post('ab', 'Content-Length: \x0b2'), refused()],
  ['a length quoted', post('ab', 'Content-Length: "2"'), refused()],
  ['a length with leading zeros', post('ab', 'Content-Length: 002'), served('POST /x 2')],
  ['a length with spaces around it', post('ab', 'Content-Length: \t 2 \t'), served('POST /x 2')],
  ['a name in odd case', post('ab', 'cONTENT-lENGTH: 2'), served('POST /x 2')],
  ['GET with a length', head('GET /x HTTP/1.1', 'Host: a', `Content-Length: ${hidden.length}`) + hidden, served(`GET /x ${hidden.length}`)],
  ['HEAD with a length', head('HEAD /x HTTP/1.1', 'Host: a', 'Content-Length: 2') + 'ab', served('HEAD /x 2')],
  ['Content_Length', post(hidden, `Content_Length: ${hidden.length}`), refused()],
  ['Content_Length beside the true one', post('', 'Content-Length: 0', 'Content_Length: 9'), refused()],
  ['a space before the colon of the length', post('ab', 'Content-Length : 2'), refused()],
  ['a tab before the colon of the length', post('ab', 'Content-Length\t: 2'), refused()],
  ['a length folded into the header before', post('ab', 'X: y\r\n Content-Length: 2'), refused()],
  ['a folded length', post('ab', 'Content-Length:\r\n 2'), refused()],
  ['a length behind a bare CR', post('ab', 'X: y\rContent-Length: 2'), refused()],
  ['a length behind a bare LF', post('ab', 'X: y\nContent-Length: 2'), refused()],
  ['a length before the Host', head('POST /x HTTP/1.1', 'Content-Length: 2', 'Host: a') + 'ab', served('POST /x 2')],
]

const codings: readonly Row[] = [
  ['TE.TE, chunked and a word', chunked('0\r\n\r\n', 'Transfer-Encoding: cow'), refused()],
  ['TE.TE, a word and chunked', post('0\r\n\r\n', 'Transfer-Encoding: cow', 'Transfer-Encoding: chunked'), refused()],
  ['chunked twice', chunked('0\r\n\r\n', 'Transfer-Encoding: chunked'), refused()],
  ['chunked, chunked', post('0\r\n\r\n', 'Transfer-Encoding: chunked, chunked'), refused()],
  ['gzip, chunked', post('0\r\n\r\n', 'Transfer-Encoding: gzip, chunked'), refused()],
  ['identity, chunked', post('0\r\n\r\n', 'Transfer-Encoding: identity, chunked'), refused()],
  ['chunked, identity', post('0\r\n\r\n', 'Transfer-Encoding: chunked, identity'), refused()],
  ['chunked with a parameter', post('0\r\n\r\n', 'Transfer-Encoding: chunked;q=1'), refused()],
  ['chunked with a comma', post('0\r\n\r\n', 'Transfer-Encoding: chunked,'), refused()],
  ['a comma before chunked', post('0\r\n\r\n', 'Transfer-Encoding: ,chunked'), refused()],
  ['chunked quoted', post('0\r\n\r\n', 'Transfer-Encoding: "chunked"'), refused()],
  ['xchunked', post('0\r\n\r\n', 'Transfer-Encoding: xchunked'), refused()],
  ['chunked behind a vertical tab', post('0\r\n\r\n', 'Transfer-Encoding: \x0bchunked'), refused()],
  ['chunked before a NUL', post('0\r\n\r\n', 'Transfer-Encoding: chunked\0'), refused()],
  ['chunked behind a bare CR', post('0\r\n\r\n', 'X: y\rTransfer-Encoding: chunked'), refused()],
  ['chunked behind a bare LF', post('0\r\n\r\n', 'X: y\nTransfer-Encoding: chunked'), refused()],
  ['a folded coding', post('0\r\n\r\n', 'Transfer-Encoding:\r\n chunked'), refused()],
  ['an empty coding', post('0\r\n\r\n', 'Transfer-Encoding: '), refused()],
  ['a space before the colon of the coding', post('0\r\n\r\n', 'Transfer-Encoding : chunked'), refused()],
  ['a space before the name of the coding', post('0\r\n\r\n', ' Transfer-Encoding: chunked'), refused()],
  ['Transfer_Encoding', post('0\r\n\r\n', 'Transfer_Encoding: chunked'), refused()],
  ['a coding in HTTP/1.0', head('POST /x HTTP/1.0', 'Host: a', 'Transfer-Encoding: chunked') + '0\r\n\r\n', refused()],
  ['chunked with a Latin-1 letter', post('0\r\n\r\n', 'Transfer-Encoding: chunke\xf0'), refused()],
  ['ChUnKeD', post('2\r\nab\r\n0\r\n\r\n', 'Transfer-Encoding: ChUnKeD'), served('POST /x 2')],
  ['chunked with spaces around it', post('2\r\nab\r\n0\r\n\r\n', 'Transfer-Encoding:   chunked  '), served('POST /x 2')],
  ...['GET', 'DELETE', 'OPTIONS', 'PUT', 'PATCH'].map((method): Row => [
    `${method} with a chunked body (CVE-2026-29057)`,
    `${head(`${method} /x HTTP/1.1`, 'Host: a', 'Transfer-Encoding: chunked')}${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
    served(`${method} /x ${hidden.length}`),
  ]),
  ['HEAD with a chunked body', `${head('HEAD /x HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked')}2\r\nab\r\n0\r\n\r\n`, served('HEAD /x 2')],
]

const chunks: readonly Row[] = [
  ['a chunk size beyond 64 bits', chunked(`10000000000000002\r\nab\r\n0\r\n\r\n`), broken],
  ['a chunk size with 0x', chunked('0x2\r\nab\r\n0\r\n\r\n'), broken],
  ['a chunk size with an underscore', chunked('0_2\r\nab\r\n0\r\n\r\n'), broken],
  ['a chunk size with a plus', chunked('+2\r\nab\r\n0\r\n\r\n'), broken],
  ['a negative chunk size', chunked('-2\r\nab\r\n0\r\n\r\n'), broken],
  ['a chunk size behind a space', chunked(' 2\r\nab\r\n0\r\n\r\n'), broken],
  ['a chunk size before a space', chunked('2 \r\nab\r\n0\r\n\r\n'), broken],
  ['an empty chunk size', chunked('\r\nab\r\n0\r\n\r\n'), broken],
  ['a chunk size ended by a bare LF', chunked('2\nab\r\n0\r\n\r\n'), broken],
  ['a chunk size ended by a bare CR', chunked('2\rab\r\n0\r\n\r\n'), broken],
  ['a chunk ended by a bare LF', chunked('2\r\nab\n0\r\n\r\n'), broken],
  ['a chunk ended by nothing', chunked('2\r\nab0\r\n\r\n'), broken],
  ['a chunk longer than it says', chunked('1\r\nab\r\n0\r\n\r\n'), broken],
  ['a chunk shorter than it says', chunked('3\r\nab\r\n0\r\n\r\n'), broken],
  ['a last chunk ended by a bare LF', chunked('2\r\nab\r\n0\n\r\n'), broken],
  ['an extension ended by a bare LF', chunked('2;a\nab\r\n0\r\n\r\n'), broken],
  ['an extension with a bare CR', chunked('2;a\rb\r\nab\r\n0\r\n\r\n'), broken],
  ['an extension with a NUL', chunked('2;a\0\r\nab\r\n0\r\n\r\n'), broken],
  ['an extension beyond 16 KiB', chunked(`2;${'a'.repeat(20_000)}\r\nab\r\n0\r\n\r\n`), broken],
  ['an extension', chunked('2;a=b\r\nab\r\n0\r\n\r\n'), served('POST /x 2')],
  ['an extension in quotes', chunked('2;a="b;c"\r\nab\r\n0\r\n\r\n'), served('POST /x 2')],
  ['chunk sizes with leading zeros', chunked('0002\r\nab\r\n000\r\n\r\n'), served('POST /x 2')],
  ['a length in the trailers', chunked('2\r\nab\r\n0\r\nContent-Length: 99\r\n\r\n'), broken],
  ['a coding in the trailers', chunked('2\r\nab\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n'), broken],
  ['a Host in the trailers', chunked('2\r\nab\r\n0\r\nHost: evil\r\n\r\n'), served('POST /x 2')],
  ['a trailer with a space before its colon', chunked('2\r\nab\r\n0\r\nX : y\r\n\r\n'), broken],
  ['a trailer folded', chunked('2\r\nab\r\n0\r\nX: y\r\n z\r\n\r\n'), broken],
  ['trailers beyond 16 KiB', chunked(`2\r\nab\r\n0\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`), broken],
]

export const bodies: readonly Case[] = [...lengths, ...codings, ...chunks]
  .map(([hazard, bytes, outcome]) => ({ hazard, bytes, outcome }))

export const shorthand = { get, head, post, target, refused, served, hidden, chunked }

import type { Http2ServerRequest, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { BodySink, DoorRequest } from '../pipeline/door.ts'
import { failure, type Failure } from '../pipeline/errors.ts'

/**
 * A stream's request. (The compatibility classes of node:http2 end a body cleanly when the client resets its stream,
 * and say less than is asked here.)
 */
export class Http2Request implements DoorRequest {
  /** Not what any HTTP/1.1 request line can say: `HTTP/2.0` there is refused. */
  readonly httpVersion = '2'
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly remoteAddress: string
  readonly encrypted: boolean
  readonly stream: ServerHttp2Stream
  /** Of the body, as far as somebody has asked for it. */
  bytesRead = 0
  #sink: BodySink | undefined

  constructor(stream: ServerHttp2Stream, socket: Socket, head: Head) {
    this.stream = stream
    this.remoteAddress = socket.remoteAddress ?? ''
    this.encrypted = 'encrypted' in socket
    this.method = head.method
    this.url = head.path
    this.rawHeaders = head.headers
  }

  /** More of the body is wanted than has come. */
  get waits(): boolean {
    return this.stream.readableFlowing === true && !this.stream.readableEnded
  }

  read(sink: BodySink): void {
    this.release()
    const { stream } = this
    this.#sink = sink
    if (stream.readableEnded || stream.destroyed) {
      // The end came with the last piece, when the one before had let go already.
      process.nextTick(stream.readableEnded && !stream.aborted ? this.#onEnd : this.#onClose)
      return
    }
    stream.on('data', this.#onData)
    stream.once('end', this.#onEnd)
    stream.once('close', this.#onClose)
    stream.resume()
  }

  resume(): void {
    this.stream.resume()
  }

  release(): void {
    if (this.#letGo() !== undefined) this.stream.pause()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytesRead += chunk.length
    if (this.#sink?.data(chunk) === false) this.stream.pause()
  }

  readonly #onEnd = (): void => {
    // Node ends the body of a stream that was reset without an error as if it were whole.
    if (!this.stream.aborted) this.#letGo()?.end()
  }

  readonly #onClose = (): void => {
    this.#letGo()?.fail(new Error('the client left in the middle of the request body'))
  }

  #letGo(): BodySink | undefined {
    const sink = this.#sink
    this.#sink = undefined
    if (sink === undefined) return undefined
    this.stream.off('data', this.#onData)
    this.stream.off('end', this.#onEnd)
    this.stream.off('close', this.#onClose)
    return sink
  }
}

/** A request's head in the terms of HTTP/1.1: Host for `:authority`, framing for what END_STREAM says. */
export type Head = Readonly<{
  method: string
  path: string
  headers: readonly string[]
  /** What is wrong that only HTTP/2 can get wrong. */
  fault: Failure | undefined
}>

/** nghttp2 resets streams with these (RFC 9113 section 8.2.2); should it ever not, nothing behind it may see them. */
const ofConnection = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings'])

/** @param raw names and values as they came, pseudo-headers first */
export function headOf(raw: Http2ServerRequest['rawHeaders'], endsWithHead: boolean): Head {
  const headers: string[] = []
  const hosts: string[] = []
  let method = ''
  let path = ''
  let scheme = ''
  let authority: string | undefined
  let cookie: string | undefined
  let length = false
  let wrong: string | undefined
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    if (name === ':method') method = value
    else if (name === ':path') path = value
    else if (name === ':scheme') scheme = value
    else if (name === ':authority') authority = value
    else if (name.startsWith(':')) wrong = 'The request has a pseudo-header that is not served here.'
    else if (name === 'host') hosts.push(value)
    else if (name === 'cookie') cookie = cookie === undefined ? value : `${cookie}; ${value}`
    else if (ofConnection.has(name) || (name === 'te' && value !== 'trailers')) {
      wrong = `HTTP/2 has no header ${name}.`
    } else if (name !== name.toLowerCase()) wrong = 'A header name is not in lower case.'
    else {
      if (name === 'content-length') length = true
      headers.push(name, value)
    }
  }
  // Split so that each part compresses by itself (RFC 9113 section 8.2.3); HTTP/1.1 has one.
  if (cookie !== undefined) headers.push('cookie', cookie)
  if (scheme !== 'http' && scheme !== 'https') wrong ??= 'The scheme is neither http nor https.'
  const [host] = hosts
  if (authority !== undefined && host !== undefined && host.toLowerCase() !== authority.toLowerCase()) {
    wrong ??= 'The Host is not the authority.'
  }
  if (authority === undefined) for (const each of hosts) headers.push('host', each)
  else {
    headers.push('host', authority)
    if (hosts.length > 1) wrong ??= 'The request has more than one Host.'
  }
  if (!length && !endsWithHead) headers.push('transfer-encoding', 'chunked')
  return { method, path, headers, fault: faultOf(method, wrong) }
}

function faultOf(method: string, wrong: string | undefined): Failure | undefined {
  if (method === 'CONNECT') return failure('method_not_allowed', 'CONNECT is not served here.')
  return wrong === undefined ? undefined : failure('invalid_request', wrong)
}

import { constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { madeBuffers } from '../garbage.ts'
import { isGrpc } from '../protocols/grpc.ts'
import type { BodySource, Controller, Handler, Sent } from './dispatch.ts'

/** The server said that it did nothing with the request (RFC 9113 section 8.7), so anybody may have it. */
export class StreamRefused extends Error {
  readonly code = 'STREAM_REFUSED'
}

/** A piece below this goes on at once: it may be all that comes for now. Bytes. */
const gatherMin = 8192
const gatherMax = 262_144

class StreamBroken extends Error {
  readonly code = 'UPSTREAM_RESET'
}

/** One request on its way over HTTP/2. */
export class Call implements Controller {
  aborted = false
  reason: Error | null = null
  #trailers: string[] = []
  /** The answer is all in its head: a gRPC error has no body and no trailers. */
  headOnly = false
  readonly #sent: Sent
  readonly #handler: Handler
  #stream: ClientHttp2Stream | undefined
  #started = false
  #answered = false
  #over = false
  /** Bytes of the answer that were given and not flushed. */
  #gathered = 0
  #flushDue = false

  constructor(sent: Sent, handler: Handler) {
    this.#sent = sent
    this.#handler = handler
  }

  /** @param done called once, when its place on the connection is free again
   *  @param again takes it back when the server refused it, untouched */
  start(session: ClientHttp2Session, scheme: string, done: () => void, lastStream: () => number, again: () => void): void {
    if (!this.#started) this.#handler.onRequestStart(this)
    this.#started = true
    if (this.aborted) {
      done()
      this.fail(this.reason ?? new StreamBroken('aborted'))
      return
    }
    const { body } = this.#sent
    let stream: ClientHttp2Stream
    try {
      stream = session.request(headersOf(this.#sent, scheme), { endStream: body === null })
    } catch (error) {
      done()
      this.fail(error instanceof Error ? error : new Error(String(error)))
      return
    }
    this.#stream = stream
    let failed: Error | undefined
    let cut = false
    stream.on('response', (_headers, flags, raw?: string[]) => {
      this.#answered = true
      this.headOnly = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0
      const all = raw ?? []
      const status = Number(all[all.indexOf(':status') + 1])
      if (!this.#over) this.#handler.onResponseStart(this, status, plain(all))
      stream.on('data', (chunk: Buffer) => {
        if (this.#over) return
        madeBuffers(chunk.length)
        this.#handler.onResponseData(this, chunk)
        this.#gather(chunk.length)
      })
      // A body that comes with its head goes out with it.
      process.nextTick(() => {
        if (!this.#over) this.#handler.onResponseFlush()
      })
    })
    stream.on('trailers', (_headers, _flags, raw?: string[]) => { this.#trailers = plain(raw ?? []) })
    stream.on('error', (error) => { failed = error })
    // node:http2 ends what a dead connection broke off as if it were whole; this comes first.
    stream.on('aborted', () => { cut = true })
    stream.on('end', () => {
      if (cut || this.#over || !this.#answered || stream.rstCode !== constants.NGHTTP2_NO_ERROR) return
      this.#over = true
      this.#handler.onResponseEnd(this, this.#trailers)
      // The server did not wait for the whole request.
      if (!stream.writableFinished) stream.close(constants.NGHTTP2_CANCEL)
    })
    stream.on('close', () => {
      done()
      if (this.#over) return
      const refused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM || (stream.id ?? 0) > lastStream()
      if (refused && !this.#answered && !this.aborted) {
        if (isStream(body)) this.fail(new StreamRefused('the backend refuses the request'))
        else again()
        return
      }
      this.fail(this.reason ?? failed ?? new StreamBroken('the stream was broken off'))
    })
    this.#send(stream)
  }

  /** A frame has 16 KiB at most, and one read brings several of them: what is large goes on together. */
  #gather(bytes: number): void {
    this.#gathered += bytes
    if (bytes < gatherMin || this.#gathered >= gatherMax) this.#flush()
    else if (!this.#flushDue) {
      this.#flushDue = true
      setImmediate(this.#flush)
    }
  }

  readonly #flush = (): void => {
    this.#flushDue = false
    if (this.#over || this.#gathered === 0) return
    this.#gathered = 0
    this.#handler.onResponseFlush()
  }

  fail(error: Error): void {
    if (this.#over) return
    this.#over = true
    this.#handler.onResponseError(error)
  }

  #send(stream: ClientHttp2Stream): void {
    const { body } = this.#sent
    const sent = (): void => this.#handler.onRequestSent()
    if (!isStream(body)) {
      if (body !== null) stream.end(typeof body === 'string' ? Buffer.from(body, 'latin1') : body)
      sent()
      return
    }
    stream.on('drain', () => body.resume())
    body.flow({
      copies: false,
      pending: () => stream.writableLength > 0,
      data: (chunk) => !stream.writable || stream.write(chunk),
      end() {
        stream.end()
        sent()
      },
      fail: (error) => this.abort(error),
    })
  }

  pause(): void {
    this.#stream?.pause()
  }

  resume(): void {
    this.#stream?.resume()
  }

  abort(reason: Error): void {
    this.aborted = true
    this.reason ??= reason
    this.#stream?.close(constants.NGHTTP2_CANCEL)
  }
}

const isStream = (body: Sent['body']): body is BodySource => body !== null && typeof body !== 'string' && !Buffer.isBuffer(body)

function headersOf({ path, method, headers, body }: Sent, scheme: string): string[] {
  const rest: string[] = []
  let authority = ''
  let grpc = false
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const value = headers[i + 1] ?? ''
    if (name === 'host') authority = value
    // Of a body that is sent in one piece it is written below.
    else if (name !== 'content-length' || body === null || isStream(body)) rest.push(name, value)
    if (name === 'content-type') grpc = isGrpc(value)
  }
  if (body !== null && !isStream(body)) rest.push('content-length', String(body.length))
  // Without it a gRPC server would not believe that trailers come through.
  if (grpc) rest.push('te', 'trailers')
  return [':method', method, ':scheme', scheme, ':authority', authority, ':path', path, ...rest]
}

function plain(raw: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) if (!raw[i]?.startsWith(':')) kept.push(raw[i] ?? '', raw[i + 1] ?? '')
  return kept
}

import type { Duplex } from 'node:stream'
import type { GenericSchema } from 'valibot'
import { safeParse } from 'valibot'
import type { FromController, FromProxy, Link, Text } from './messages.ts'
import { FromController as FromControllerSchema, FromProxy as FromProxySchema } from './messages.ts'

/** Bytes of one line. A table of 10,000 routes is about 10 MiB; an answer names at most what it refused. */
export const CONTROLLER_LINE = 256 * 1024 * 1024
export const PROXY_LINE = 16 * 1024 * 1024

/** Bytes of a large message that are handed over at once: what one that is not taken holds, beside what all share. */
const PART = 256 * 1024

const NEWLINE = 0x0a

type Parsed<T> = { ok: true; message: T } | { ok: false; why: string }

function parse<T>(schema: GenericSchema<unknown, T>, line: string): Parsed<T> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return { ok: false, why: `not a line of JSON: ${JSON.stringify(line.slice(0, 80))}` }
  }
  const result = safeParse(schema, value, { abortEarly: true })
  if (result.success) return { ok: true, message: result.output }
  const issue = result.issues[0]
  const place = issue.path?.map((part) => String(part.key)).join('.') ?? ''
  return { ok: false, why: `not a message of this protocol: ${place === '' ? '' : `${place}: `}${issue.message}` }
}

export type StreamLinkOptions<Out, In> = {
  schema: GenericSchema<unknown, In>
  /** A longer line ends the connection: what is read is bounded. */
  maxLineBytes: number
  /** What to say before closing on bad input; nothing when absent. */
  farewell?: (why: string) => Text<Out>
  /** Why the stream closed, when nothing said so. */
  lost?: () => string
  /** How long the other end has to take what was sent before a close, in milliseconds. */
  lingerMs?: number
}

/** Newline-delimited JSON over a stream. Bad input closes it: after a wrong line nothing can be trusted. */
export function streamLink<Out, In>(stream: Duplex, options: StreamLinkOptions<Out, In>): Link<Out, In> {
  const { schema, maxLineBytes, farewell, lost = () => 'connection lost', lingerMs = 2_000 } = options
  const closeListeners: ((why: string) => void)[] = []
  let parts: Buffer[] = []
  let size = 0
  let reason: string | undefined
  let closed = false
  /** A large message is under way, and what was said since. */
  let under = false
  let behind: (() => void)[] = []

  stream.on('error', (error: Error) => (reason ??= error.message))
  stream.on('end', () => close('closed by the other end'))
  stream.on('close', () => {
    closed = true
    parts = []
    behind = []
    for (const listener of closeListeners.splice(0)) listener(reason ?? lost())
  })

  function close(why = 'closed'): void {
    if (reason !== undefined || closed) return
    reason = why
    parts = []
    if (!under) stream.end()
    stream.resume()
    const timer = setTimeout(() => stream.destroy(), lingerMs).unref()
    stream.once('close', () => clearTimeout(timer))
  }

  function refuse(why: string): void {
    if (farewell !== undefined && reason === undefined) send(farewell(why))
    close(why)
  }

  function write(message: Text<Out>): void {
    stream.cork()
    stream.write(message)
    stream.write('\n')
    stream.uncork()
  }

  function send(message: Text<Out>): void {
    if (reason !== undefined || closed) return
    if (under) behind.push(() => write(message))
    else write(message)
  }

  function sendWhole(message: Uint8Array, taken: (left: number) => void): void {
    if (reason !== undefined || closed) return
    if (under) behind.push(() => writePart(message, 0, taken))
    else writePart(message, 0, taken)
  }

  /** The next part goes out when the stream has passed this one on, so that it holds no more than one; behind the last one, anything may. */
  function writePart(message: Uint8Array, from: number, taken: (left: number) => void): void {
    const left = Math.max(0, message.length - from - PART)
    under = left > 0
    stream.cork()
    stream.write(message.subarray(from, from + PART), (error) => {
      if (error || closed) return
      if (left > 0) writePart(message, from + PART, taken)
      taken(left)
    })
    if (left === 0) stream.write('\n')
    stream.uncork()
    if (left > 0) return
    passOn()
    if (!under && reason !== undefined) stream.end()
  }

  function passOn(): void {
    for (let next = behind.shift(); next !== undefined; next = under ? undefined : behind.shift()) next()
  }

  function read(chunk: Buffer, listener: (message: In) => void): void {
    let rest = chunk
    if (reason !== undefined) return
    for (;;) {
      const end = rest.indexOf(NEWLINE)
      const part = end === -1 ? rest : rest.subarray(0, end)
      size += part.length
      if (size > maxLineBytes) return refuse(`a line is longer than ${maxLineBytes} bytes`)
      parts.push(part)
      if (end === -1) return
      const line = (parts.length === 1 ? part : Buffer.concat(parts, size)).toString('utf8')
      parts = []
      size = 0
      rest = rest.subarray(end + 1)
      const parsed = parse(schema, line)
      if (!parsed.ok) return refuse(parsed.why)
      listener(parsed.message)
      if (reason !== undefined || rest.length === 0) return
    }
  }

  return {
    send,
    sendWhole,
    close,
    onMessage: (listener) => void stream.on('data', (chunk: Buffer) => read(chunk, listener)),
    onClose: (listener) => void closeListeners.push(listener),
  }
}

type End<Out, In> = Link<Out, In> & { receive(text: string): void; ended(why: string): void }

function end<Out, In>(schema: GenericSchema<unknown, In>, other: () => End<In, Out>): End<Out, In> {
  const closeListeners: ((why: string) => void)[] = []
  const waiting: string[] = []
  let listener: ((message: In) => void) | undefined
  let closed = false

  function ended(why: string): void {
    if (closed) return
    closed = true
    for (const each of closeListeners.splice(0)) each(why)
  }

  function close(why = 'closed'): void {
    ended(why)
    queueMicrotask(() => other().ended('closed by the other end'))
  }

  function receive(text: string): void {
    if (closed) return
    if (listener === undefined) return void waiting.push(text)
    const parsed = parse(schema, text)
    if (parsed.ok) listener(parsed.message)
    else close(parsed.why)
  }

  return {
    send: (message) => void (closed || queueMicrotask(() => other().receive(message))),
    sendWhole(message, taken) {
      if (closed) return
      queueMicrotask(() => {
        other().receive(Buffer.from(message.buffer, message.byteOffset, message.byteLength).toString())
        if (!closed) taken(0)
      })
    },
    close,
    ended,
    receive,
    onMessage(given) {
      listener = given
      for (const text of waiting.splice(0)) receive(text)
    },
    onClose: (given) => void closeListeners.push(given),
  }
}

/** Both ends in one process. Messages still travel as text and are parsed, so that the halves cannot drift apart. */
export function linkPair(): [controller: Link<FromController, FromProxy>, proxy: Link<FromProxy, FromController>] {
  const controller: End<FromController, FromProxy> = end(FromProxySchema, () => proxy)
  const proxy: End<FromProxy, FromController> = end(FromControllerSchema, () => controller)
  return [controller, proxy]
}

import * as v from 'valibot'
import type { BodySink, DoorRequest, DoorResponse } from '../pipeline/door.ts'

/** A request that is not made. `url` is absolute, or a path; `as`: the consumer to take the caller for; `source`: the address that it comes from. */
const Question = v.strictObject({
  method: v.optional(v.pipe(v.string(), v.regex(/^[A-Z-]{1,32}$/)), 'GET'),
  url: v.pipe(v.string(), v.minLength(1)),
  headers: v.optional(v.record(v.string(), v.string()), {}),
  body: v.optional(v.string()),
  as: v.optional(v.pipe(v.string(), v.minLength(1))),
  source: v.optional(v.pipe(v.string(), v.ip())),
})
export type Question = v.InferOutput<typeof Question>
export type Imagined = Omit<Question, 'body'> & Readonly<{ body?: string | Buffer | undefined }>

/** Reads a question from JSON, or says in a line what is wrong with it. */
export function readQuestion(text: string): Question | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'the body is not JSON'
  }
  const parsed = v.safeParse(Question, value)
  if (!parsed.success) {
    const [issue] = parsed.issues
    return `${v.getDotPath(issue) ?? 'the body'}: ${issue.message}`
  }
  return URL.canParse(parsed.output.url, 'http://localhost') ? parsed.output : 'url: neither an address nor a path'
}

/** A request as a door would have it, of which nothing was ever sent. */
export function unmade({ method, url, headers, body, source = '' }: Imagined): DoorRequest {
  const { host, pathname, search } = new URL(url, 'http://localhost')
  // A path stands as it would in a request: it is the gateway that brings it into its form.
  const target = /^\/[!-~]*$/.test(url) ? url.replace(/#.*$/, '') : pathname + search
  const given = Object.entries(headers)
  const hosted = given.some(([name]) => name.toLowerCase() === 'host')
  return {
    method,
    url: target,
    httpVersion: '1.1',
    rawHeaders: [
      ...(hosted ? [] : ['Host', host]), ...given.flat(),
      ...(body === undefined ? [] : ['Content-Length', String(Buffer.byteLength(body))]),
    ],
    remoteAddress: source,
    encrypted: false,
    ...bodyOf(Buffer.from(body ?? '')),
  }
}

/** Given in one piece to who reads it, as a body that came with its head. */
function bodyOf(body: Buffer): Pick<DoorRequest, 'read' | 'resume' | 'release'> {
  let sink: BodySink | undefined
  let given = body.length === 0
  function give(): void {
    if (!given) {
      given = true
      if (sink?.data(body) !== true) return
    }
    sink?.end()
  }
  return {
    read(to) {
      sink = to
      give()
    },
    resume: () => queueMicrotask(give),
    release() {
      sink = undefined
    },
  }
}

/** Nothing is answered. */
export const unanswered: DoorResponse = {
  statusCode: 200, shouldKeepAlive: false, headersSent: false, writableEnded: false, writableFinished: false, pending: false, plain: true, chunks: true,
  writeHead() {}, writeContinue() {}, flushHeaders() {}, write: () => true, addTrailers() {}, end() {}, cork() {}, uncork() {}, destroy() {}, destroySoon() {}, on() {}, once() {},
}

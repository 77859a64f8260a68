import { Refused, type Send } from './retried.ts'

export type HttpTarget = Readonly<{
  /** The operator's own, so that it may lead anywhere. Credentials in it are sent as Basic. */
  url: string
  contentType: string
  /** What is sent of lines; they as they are. */
  encode?: (lines: Buffer) => Buffer
}>

/** Each batch is one POST. */
export function postTo({ url, contentType, encode = (lines) => lines }: HttpTarget): Send {
  const post = poster(url)
  // A copy: the memory is lent, and a try that was given up may still be looking at it.
  return (lines, signal) => post({ 'content-type': contentType }, Uint8Array.from(encode(lines)), signal)
}

export type Post = (headers: Readonly<Record<string, string>>, body: Uint8Array<ArrayBuffer> | undefined, signal: AbortSignal) => Promise<void>

/** What is not answered with success did not arrive. Redirects are not followed. @param url credentials in it are sent as Basic */
export function poster(url: string): Post {
  const to = new URL(url)
  const credentials = `${decodeURIComponent(to.username)}:${decodeURIComponent(to.password)}`
  to.username = to.password = ''
  const own = {
    'user-agent': 'modelroute',
    ...(credentials !== ':' && { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }),
  }
  return async (headers, body, signal) => {
    const answer = await fetch(to, { method: 'POST', headers: { ...headers, ...own }, body: body ?? null, redirect: 'manual', signal }).catch((error: unknown) => {
      throw new Error(whyOf(error))
    })
    await answer.body?.cancel()
    if (answer.ok) return
    const why = `answered ${answer.status || 'a redirect'}`
    throw isFinal(answer.status) ? new Refused(why) : new Error(why)
  }
}

/** 408 Request Timeout, 425 Too Early and 429 Too Many Requests ask for another try. */
const isFinal = (status: number) => status < 500 && ![0, 408, 425, 429].includes(status)

/** `fetch failed` says nothing; what it is caused by does. */
function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'no answer in time'
  const { cause } = error
  return cause instanceof Error ? ('code' in cause ? String(cause.code) : cause.message) : error.message
}

import type { ClientHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'

/**
 * Milliseconds. A connection with calls on it that brings nothing for `after` is asked for a sign of life, and is dead
 * without one `within` so many more. Servers of gRPC take more than one such question in five minutes for an attack,
 * and questions while there is no call as well (grpc doc/keepalive.md).
 */
export type Silence = Readonly<{ after: number; within: number; again: number }>

export const silence: Silence = { after: 20_000, within: 5000, again: 300_000 }

/** Notices that the other end is gone where TCP would not say so for minutes: a cut cable, a stopped process. */
export function noticeSilence(session: ClientHttp2Session, socket: Socket, busy: () => boolean, { after, within, again }: Silence): void {
  let read = socket.bytesRead
  let heardAt = performance.now()
  let askedAt = Number.NEGATIVE_INFINITY
  let late: NodeJS.Timeout | undefined
  const timer = setInterval(() => {
    const now = performance.now()
    if (socket.bytesRead !== read || !busy()) {
      read = socket.bytesRead
      heardAt = now
    } else if (now - heardAt >= after && now - askedAt >= again) {
      askedAt = now
      late = setTimeout(() => session.destroy(new Error('the backend gave no sign of life')), within).unref()
      session.ping(() => clearTimeout(late))
    }
  }, after / 4).unref()
  session.once('close', () => {
    clearInterval(timer)
    clearTimeout(late)
  })
}

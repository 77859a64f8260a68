import type { Http2Session } from 'node:http2'

/** Rounds without an answer after which the other end is dead: one can be a stall of this very process. */
const MISSES = 2

/**
 * Finds out that the other end is gone where TCP would not say so for minutes (a cut cable, a stopped process).
 * HTTP/2's own PING: it passes the data that waits, so a slow reader is not mistaken for a dead one.
 */
export function heartbeat(session: Http2Session, everyMs: number, onAnswer: () => void = () => {}): void {
  let unanswered = 0
  const timer = setInterval(() => {
    if (session.destroyed) return clearInterval(timer)
    if (unanswered >= MISSES) return session.destroy(new Error(`no sign of life for ${unanswered * everyMs} ms`))
    unanswered += 1
    if (session.connecting) return
    session.ping((error) => {
      if (error !== null) return
      unanswered = 0
      onAnswer()
    })
  }, everyMs).unref()
  session.once('close', () => clearInterval(timer))
}

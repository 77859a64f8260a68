import type { Remote } from '../../redis.ts'
import type { Log } from '../log.ts'
import { postTo } from '../sinks/http.ts'
import { retried, type RetriedSink } from '../sinks/retried.ts'
import { appendTo } from '../sinks/stream.ts'
import type { Destination } from './destination.ts'

/** Somewhere else, where records are sent until they arrive. */
export function connectSink(destination: Extract<Destination, { to: 'http' | 'stream' }>, log: Log): RetriedSink {
  const to = destination.to === 'http'
    ? { send: postTo({ url: destination.url, contentType: 'application/x-ndjson' }), close() {} }
    : streamTo(destination)
  const sink = retried({
    send: to.send,
    attempts: Number.POSITIVE_INFINITY,
    say: (error) => error === undefined ? log.write('info', 'ledger: delivering again') : log.write('warn', 'ledger: cannot deliver; trying again', { why: error.message }),
  })
  return {
    write: (lines, done, durable) => sink.write(lines, done, durable),
    close() {
      sink.close()
      to.close()
    },
  }
}

function streamTo({ redis, name, kept }: Extract<Destination, { to: 'stream' }>) {
  let remote: Promise<Remote> | undefined
  const append: Remote['append'] = async (...entries) => {
    // Most proxies have no such stream. What it fails at is told by whoever sends.
    remote ??= import('../../redis.ts').then(({ connectRedis }) => connectRedis(redis, () => {}))
    const to = await remote
    await to.begun
    await to.append(...entries)
  }
  return { send: appendTo({ append }, { name, kept }), close: () => void remote?.then((one) => one.close()) }
}

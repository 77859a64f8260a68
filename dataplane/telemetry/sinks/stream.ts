import type { Remote } from '../../redis.ts'
import type { Send } from './retried.ts'

/** Entries that a stream keeps, about (`MAXLEN ~`), where its URL says nothing else. */
export const keptDefault = 1_000_000

/** Each line is an entry of a Redis stream, with one field, `record`. */
export function appendTo(remote: Pick<Remote, 'append'>, { name, kept }: Readonly<{ name: string; kept: number }>): Send {
  return async (lines, signal) => {
    // A server that says nothing is not waited for.
    const late = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => late.reject(new Error('no answer in time')), { once: true })
    await Promise.race([remote.append(name, lines.toString().split('\n').filter((line) => line !== ''), kept), late.promise])
  }
}

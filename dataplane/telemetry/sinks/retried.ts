import type { Sink } from '../lines.ts'

/** Takes whole lines; rejects where they did not arrive, with `Refused` where they never will. */
export type Send = (lines: Buffer, signal: AbortSignal) => Promise<void>

/** Trying again would bring the same. */
export class Refused extends Error {}

export type TryingOptions = Readonly<{
  /** How often lines are tried; infinite: until they arrive, or the sink is closed, whatever was answered. */
  attempts: number
  /** Milliseconds for one try. */
  timeout?: number
  /** Told of the first failure, and then of the first success. */
  say?: (error: Error | undefined) => void
  /** Resolves after so many milliseconds, or once the signal says that there is no point. */
  wait?: (milliseconds: number, signal: AbortSignal) => Promise<void>
}>

export type RetriedOptions = TryingOptions & Readonly<{ send: Send }>

/** Does something that may fail again until it does not; rejects with why it is given up. */
export type Trying = Readonly<{
  deliver(send: (signal: AbortSignal) => Promise<void>): Promise<void>
  /** Gives up what is under way. */
  close(): void
}>

/** Closing gives up what is under way: whoever waits for it hears an error. */
export type RetriedSink = Sink & Readonly<{ close(): void }>

/** Bytes of lines that go out at once. */
const batchMax = 512 * 1024
/** Milliseconds between tries: doubled each time, with a part of chance so that a fleet does not come back as one. */
const [first, longest] = [100, 30_000]
const timeoutDefault = 10_000

export function trying({ attempts, timeout = timeoutDefault, say = () => {}, wait = pause }: TryingOptions): Trying {
  const closing = new AbortController()
  let failing = false

  function tell(error: Error | undefined): void {
    if (failing !== (error !== undefined)) say(error)
    failing = error !== undefined
  }

  return {
    async deliver(send) {
      for (let attempt = 1; ; attempt++) {
        closing.signal.throwIfAborted()
        try {
          await send(AbortSignal.any([closing.signal, AbortSignal.timeout(timeout)]))
          tell(undefined)
          return
        } catch (thrown) {
          const error = thrown instanceof Error ? thrown : new Error(String(thrown))
          tell(error)
          if (attempt >= attempts || (error instanceof Refused && attempts < Number.POSITIVE_INFINITY)) throw error
        }
        await wait(Math.min(longest, first * 2 ** Math.min(attempt - 1, 16)) * (0.5 + Math.random() / 2), closing.signal)
      }
    },
    close: () => closing.abort(new Error('the sink is closed')),
  }
}

/** A sink somewhere else, which may not be there: batches go out one after the other, each tried again until it arrives. */
export function retried({ send, ...options }: RetriedOptions): RetriedSink {
  const { deliver, close } = trying(options)

  async function all(bytes: Buffer): Promise<Error | undefined> {
    try {
      for (const batch of batchesOf(bytes)) await deliver((signal) => send(batch, signal))
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
    return undefined
  }

  return {
    write(bytes, ended) {
      // They are lent until it calls back, and so may be sent as they are.
      void all(bytes).then(ended)
    },
    close,
  }
}

/** Whole lines, as many as go out at once; one that is longer goes alone. */
export function * batchesOf(bytes: Buffer, max = batchMax): Generator<Buffer> {
  for (let from = 0; from < bytes.length;) {
    let end = bytes.length
    if (end - from > max) {
      const last = bytes.lastIndexOf(0x0a, from + max - 1)
      const next = last >= from ? last : bytes.indexOf(0x0a, from)
      end = next < 0 ? bytes.length : next + 1
    }
    yield bytes.subarray(from, end)
    from = end
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const stop = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      resolve()
    }
    const timer = setTimeout(stop, milliseconds)
    signal.addEventListener('abort', stop)
  })
}

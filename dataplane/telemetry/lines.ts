import { write } from 'node:fs'

/** Where lines go, one write at a time. `durable`: it calls back only once they are on disk, as far as there is one. */
export type Sink = Readonly<{
  write(text: string, done: (error?: Error) => void, durable: boolean): void
}>

/** Lines on their way out. One writer a sink: two would cut each other's lines. */
export type Lines = Readonly<{
  /** False: too many are held already, and this one is dropped and counted. */
  hold(line: string): boolean
  /** Out with it: resolves once it is durable, or false where it cannot be. */
  settle(line: string): Promise<boolean>
  /**
   * For the end of the process: begins to put out what is held, and resolves once it is out, or a reader that does not
   * keep up has had its time. Behind the write under way, of which nobody can tell how far it has come: what went out
   * past it would stand in the middle of one of its lines.
   */
  flush(): Promise<void>
}>

export type LinesOptions = Readonly<{
  sink: Sink
  /** The line that tells how many were dropped. */
  notice: (dropped: number) => string
  /** Hears how each write ended. */
  onWritten?: (error: Error | undefined) => void
}>

const flushAfter = 50
/** Less than a pipe holds: a reader that keeps up has room for all of it. */
const flushAt = 60_000
/** Characters held for a reader that does not keep up; beyond it, lines are dropped and counted. */
const heldMax = 8 * 1024 * 1024
/** How long the end of the process waits for a reader. Milliseconds. */
const flushMax = 1000

/**
 * Lines are gathered for a moment and written without blocking: a slow reader must not stop traffic. Those that are
 * waited for go at once, and all that come while a write is under way go together in the next.
 */
export function createLines({ sink, notice, onWritten = () => {} }: LinesOptions): Lines {
  let held: string[] = []
  let size = 0
  let dropped = 0
  let writing = false
  let timer: NodeJS.Timeout | undefined
  let waiting: ((settled: boolean) => void)[] = []
  const emptied: (() => void)[] = []

  function drain(): void {
    timer = undefined
    if (writing || held.length === 0) return
    const waiters = waiting
    waiting = []
    const lines = held.length
    const text = take()
    writing = true
    sink.write(text, (error) => {
      writing = false
      if (error) dropped += lines
      onWritten(error)
      for (const settled of waiters) settled(error === undefined)
      if (held.length > 0) drain()
      else for (const resolve of emptied.splice(0)) resolve()
    }, waiters.length > 0)
  }

  function take(): string {
    const text = held.join('')
    held = []
    size = 0
    if (dropped === 0) return text
    const told = notice(dropped)
    dropped = 0
    return text + told
  }

  function hold(line: string): boolean {
    if (size > heldMax) {
      dropped++
      return false
    }
    held.push(line)
    size += line.length
    if (size >= flushAt) drain()
    else timer ??= setTimeout(drain, flushAfter).unref()
    return true
  }

  return {
    hold,
    settle(line) {
      if (!hold(line)) return Promise.resolve(false)
      return new Promise((resolve) => {
        waiting.push(resolve)
        // Whatever else this turn of the event loop brings goes with it.
        if (waiting.length === 1) setImmediate(drain)
      })
    },
    flush() {
      clearTimeout(timer)
      drain()
      if (!writing) return Promise.resolve()
      return new Promise((resolve) => {
        const late = setTimeout(resolve, flushMax)
        emptied.push(() => {
          clearTimeout(late)
          resolve()
        })
      })
    },
  }
}

/** What most writes are encoded into: there is one at a time. Three bytes are the most that a UTF-16 unit takes. */
const room = Buffer.allocUnsafeSlow(flushAt * 4)
const fits = (text: string) => text.length * 3 <= room.length

export const stdout: Sink = {
  write(text, done) {
    const bytes = fits(text) ? room.subarray(0, room.write(text)) : Buffer.from(text)
    const put = (from: number): void => write(1, bytes, from, (error, written) => {
      // A pipe that is full for the moment; a reader that has gone is not waited for.
      if (error?.code === 'EAGAIN') setTimeout(put, 10, from)
      else if (error) done(error)
      else if (from + written >= bytes.length) done()
      else put(from + written)
    })
    put(0)
  },
}

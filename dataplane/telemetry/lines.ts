import { fstatSync, write, writeSync } from 'node:fs'
import { Socket } from 'node:net'

/**
 * Where lines go, one write at a time: the bytes are lent until it calls back. `durable`: it does so only once they are on
 * disk, as far as there is one.
 */
export type Sink = Readonly<{
  write(bytes: Buffer, done: (error?: Error) => void, durable: boolean): void
}>

/** Lines on their way out. One writer a sink: two would cut each other's lines. */
export type Lines = Readonly<{
  /** False: too many are held already, and this one is dropped and counted. */
  hold(line: string): boolean
  /** Begins to put out what is held, unless a write is under way. */
  push(): void
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
/** Bytes of lines that are gathered while those before them are being written. */
const roomSize = 131_072
/** Characters held for a reader that does not keep up; beyond it, lines are dropped and counted. */
const heldMax = 8 * 1024 * 1024
/** How long the end of the process waits for a reader. Milliseconds. */
const flushMax = 1000

/**
 * Lines are gathered for a moment and written without blocking: a slow reader must not stop traffic. Those that are
 * waited for go at once, and all that come while a write is under way go together in the next.
 */
export function createLines({ sink, notice, onWritten = () => {} }: LinesOptions): Lines {
  /** Lines are encoded as they come: into the one, while the other is being written. */
  let [room, other] = [Buffer.alloc(0), Buffer.alloc(0)]
  let filled = 0
  /** What found no room. */
  let held: string[] = []
  let size = 0
  let count = 0
  let dropped = 0
  let writing = false
  let timer: NodeJS.Timeout | undefined
  let waiting: ((settled: boolean) => void)[] = []
  const emptied: (() => void)[] = []

  function drain(): void {
    timer = undefined
    if (writing || count === 0) return
    const waiters = waiting
    waiting = []
    const lines = count
    const bytes = take()
    writing = true
    sink.write(bytes, (error) => {
      writing = false
      if (error) dropped += lines
      onWritten(error)
      for (const settled of waiters) settled(error === undefined)
      if (count > 0) drain()
      else for (const resolve of emptied.splice(0)) resolve()
    }, waiters.length > 0)
  }

  function take(): Buffer {
    const told = dropped === 0 ? '' : notice(dropped)
    dropped = 0
    const begun = room.subarray(0, filled)
    const bytes = held.length === 0 && told === '' ? begun : Buffer.concat([begun, Buffer.from(held.join('') + told)])
    ;[room, other] = [other, room]
    held = []
    filled = size = count = 0
    return bytes
  }

  function hold(line: string): boolean {
    const { length } = line
    if (size > heldMax) {
      dropped++
      return false
    }
    if (room.length === 0) room = Buffer.allocUnsafeSlow(roomSize)
    // Three bytes are the most that a UTF-16 unit takes.
    if (held.length === 0 && length * 3 <= room.length - filled) filled += room.write(line, filled)
    else held.push(line)
    count++
    size += length
    if (size >= flushAt) drain()
    else timer ??= setTimeout(drain, flushAfter).unref()
    return true
  }

  return {
    hold,
    push() {
      clearTimeout(timer)
      drain()
    },
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

/**
 * A pipe or a socket takes what it has room for at once, and the event loop waits for the rest; a file takes all at
 * once; others take a thread. So does what comes after an error: a named pipe may get another reader.
 */
export const stdout: Sink = {
  write(bytes, done) {
    pipe ??= openPipe()
    if (pipe === 'file') putNow(bytes, done)
    else if (pipe === 'none' || pipe.destroyed) put(bytes, 0, done)
    else putThrough(pipe, bytes, done)
  },
}

/** It is never closed: its number must not become that of another file. */
class Output extends Socket {
  override _destroy(error: Error | null, closed: (error?: Error | null) => void): void {
    closed(error)
  }
}

let pipe: Output | 'none' | 'file' | undefined

function openPipe(): Output | 'none' | 'file' {
  try {
    const about = fstatSync(1)
    if (about.isFile()) return 'file'
    if (!about.isFIFO() && !about.isSocket()) return 'none'
    return new Output({ fd: 1, readable: false, writable: true }).on('error', () => {})
  } catch {
    return 'none'
  }
}

/** What a file is given at once is the kernel's, whatever becomes of this process. */
function putNow(bytes: Buffer, done: (error?: Error) => void): void {
  try {
    for (let from = 0; from < bytes.length;) from += writeSync(1, bytes, from)
  } catch (error) {
    done(error instanceof Error ? error : new Error(String(error)))
    return
  }
  done()
}

/** What a pipe has room for it takes at once; with the rest it is the event loop's turn. */
function putThrough(pipe: Output, bytes: Buffer, done: (error?: Error) => void): void {
  let written = 0
  try {
    written = writeSync(1, bytes)
  } catch {
    // It is full, or its reader gone: the stream finds out which.
  }
  if (written === bytes.length) done()
  else pipe.write(written === 0 ? bytes : bytes.subarray(written), (error) => done(error ?? undefined))
}

function put(bytes: Buffer, from: number, done: (error?: Error) => void): void {
  write(1, bytes, from, (error, written) => {
    // A pipe that is full for the moment; a reader that has gone is not waited for.
    if (error?.code === 'EAGAIN') setTimeout(put, 10, bytes, from, done)
    else if (error) done(error)
    else if (from + written >= bytes.length) done()
    else put(bytes, from + written, done)
  })
}

import { write, writeSync } from 'node:fs'

const levels = ['debug', 'info', 'warn', 'error'] as const
type Level = (typeof levels)[number]
type Fields = Readonly<Record<string, unknown>>

/**
 * JSON lines. Whoever calls names the fields one by one: whole headers, URLs or errors of libraries never go in,
 * since keys and tokens travel in them.
 */
export interface Log {
  readonly enabled: (level: Level) => boolean
  write(level: Level, message: string, fields?: Fields): void
  /** A line whatever the level: what scripts wait for. */
  announce(message: string, fields?: Fields): void
  /** Puts out what is held, now; for the end of the process. */
  flush(): void
}

export type LogOptions = Readonly<{ level?: Level; sink?: Sink; now?: () => Date }>

/** Where lines go. `sync` does not return before they are gone. */
type Sink = Readonly<{ write(text: string, done: () => void): void; sync(text: string): void }>

const flushAfter = 50
const flushAt = 65_536
/** Characters held for a reader that does not keep up; beyond it, lines are dropped and counted. */
const heldMax = 8 * 1024 * 1024

/** Lines are gathered for a moment and written without blocking: a slow reader of stdout must not stop traffic. */
export function createLog({ level = 'info', sink = stdout, now = () => new Date() }: LogOptions = {}): Log {
  const threshold = levels.indexOf(level)
  let held: string[] = []
  let size = 0
  let dropped = 0
  let writing = false
  let timer: NodeJS.Timeout | undefined

  function drain(): void {
    timer = undefined
    if (writing || held.length === 0) return
    const text = take()
    writing = true
    sink.write(text, () => {
      writing = false
      if (held.length > 0) drain()
    })
  }

  function take(): string {
    const text = held.join('')
    held = []
    size = 0
    if (dropped === 0) return text
    const notice = line('warn', 'log lines dropped', { dropped })
    dropped = 0
    return text + notice
  }

  function line(at: Level, message: string, fields?: Fields): string {
    return `${JSON.stringify({ time: now().toISOString(), level: at, msg: message, ...fields })}\n`
  }

  function hold(text: string): void {
    held.push(text)
    size += text.length
    if (size >= flushAt) drain()
    else timer ??= setTimeout(drain, flushAfter).unref()
  }

  return {
    enabled: (at) => levels.indexOf(at) >= threshold,
    write(at, message, fields) {
      if (levels.indexOf(at) < threshold) return
      if (size > heldMax) dropped++
      else hold(line(at, message, fields))
    },
    announce: (message, fields) => hold(line('info', message, fields)),
    flush() {
      clearTimeout(timer)
      timer = undefined
      if (held.length > 0) sink.sync(take())
    },
  }
}

const stdout: Sink = {
  write(text, done) {
    const bytes = Buffer.from(text)
    const put = (from: number): void => write(1, bytes, from, (error, written) => {
      // A pipe that is full for the moment; a reader that has gone is not waited for.
      if (error?.code === 'EAGAIN') setTimeout(put, 10, from)
      else if (error || from + written >= bytes.length) done()
      else put(from + written)
    })
    put(0)
  },
  sync(text) {
    try {
      writeSync(1, text)
    } catch {
      // The reader has gone; there is nobody to tell.
    }
  },
}

import { detached, recalled } from '../pipeline/recalled.ts'
import { createLines, stdout, type Sink } from './lines.ts'
import { membersOf, textMember, timestamp, type Members } from './members.ts'

const levels = ['debug', 'info', 'warn', 'error'] as const
type Level = (typeof levels)[number]
/** Or the members that they make. */
type Fields = Readonly<Record<string, unknown>> | Members

/**
 * JSON lines. Whoever calls names the fields one by one: whole headers, URLs or errors of libraries never go in,
 * since keys and tokens travel in them.
 */
export interface Log {
  readonly enabled: (level: Level) => boolean
  write(level: Level, message: string, fields?: Fields): void
  /** A line whatever the level: what scripts wait for. */
  announce(message: string, fields?: Fields): void
  /** The same, waited for: whether its reader has it. */
  settle(message: string, fields?: Fields): Promise<boolean>
  /** Begins to put out what is held, so that the end of this process does not take it along. */
  push(): void
  /** Whole lines of another process, as they are. */
  pass(lines: string): void
  /** For the end of the process: resolves once what is held is out, or its reader has had its time. */
  flush(): Promise<void>
}

/** What follows the level: messages are few, and the program's own. */
const wordsOf = recalled((message) => detached(`"${textMember('msg', message)}`))

export type LogOptions = Readonly<{ level?: Level; sink?: Sink; now?: () => number }>

export function createLog({ level = 'info', sink = stdout, now = Date.now }: LogOptions = {}): Log {
  const threshold = levels.indexOf(level)
  const lines = createLines({ sink, notice: (dropped) => line('warn', 'log lines dropped', { dropped }) })

  function line(at: Level, message: string, fields: Fields = ''): string {
    const members = typeof fields === 'string' ? fields : membersOf(fields)
    return `{"time":"${timestamp(now())}","level":"${at}${wordsOf(message)}${members}}\n`
  }

  return {
    enabled: (at) => levels.indexOf(at) >= threshold,
    write(at, message, fields) {
      if (levels.indexOf(at) >= threshold) lines.hold(line(at, message, fields))
    },
    announce: (message, fields) => void lines.hold(line('info', message, fields)),
    push: () => lines.push(),
    pass: (whole) => void lines.hold(whole),
    settle: (message, fields) => lines.settle(line('info', message, fields)),
    flush: () => lines.flush(),
  }
}

import type { Exchange } from '../../pipeline/exchange.ts'
import { createLines } from '../lines.ts'
import type { Log } from '../log.ts'
import { timestamp, type Members } from '../members.ts'
import { connectSink } from './connect.ts'
import type { Destination } from './destination.ts'
import { openJournal } from './journal.ts'
import { endMembers, idMember, usedMembers, whoElseMembers, whoMembers } from './record.ts'
import { openSpool } from './spool.ts'

/**
 * Who used what: one record a request, at least once. The answer's last byte goes out only after its record has left
 * this process, so that no client has an answer that nobody will ever hear of, however suddenly the process ends.
 */
export type Ledger = Readonly<{
  /** For a request that is over. @returns members for its line in the log, where that is its record too */
  record(exchange: Exchange, status: number, logged: boolean): Members
  /** Calls back once the records of this turn of the event loop are out, or lost. Undefined: they are only in memory for a while. */
  hold: ((go: () => void) => void) | undefined
  /** Records that were lost, since the start. */
  dropped(): number
  close(): Promise<void>
}>

export type LedgerOptions = Readonly<{
  destination: Destination
  /** Where records wait that have to go somewhere else: without it they wait in memory. */
  folder: string | undefined
  log: Log
  /** Bytes of a file, and of what waits. */
  max?: number
}>

/** Undefined: there is to be none. */
export function openLedger({ destination, folder, log, max }: LedgerOptions): Ledger | undefined {
  if (destination.to === 'file') return inFile(destination.path, log, max)
  if (destination.to !== 'http' && destination.to !== 'stream') return destination.to === 'stdout' ? inLog(log) : undefined
  if (folder === undefined) return inMemory(destination, log)
  return written(openSpool({ folder, ...(max !== undefined && { max }) }), { spool: folder }, log)
}

/** All that comes in one turn of the event loop goes out at once at its end, and then what waited for that. */
function createTurn(flush: () => void): Readonly<{ begin(): void; hold(go: () => void): void }> {
  let waiting: (() => void)[] = []
  let begun = false

  function end(): void {
    begun = false
    flush()
    const released = waiting
    waiting = []
    for (const go of released) go()
  }

  function begin(): void {
    if (begun) return
    begun = true
    setImmediate(end)
  }

  return {
    begin,
    hold(go) {
      waiting.push(go)
      begin()
    },
  }
}

const record = (exchange: Exchange, status: number) =>
  `{"request_id":"${exchange.requestId}","time":"${timestamp(Date.now())}"${whoMembers(exchange)}${usedMembers(exchange)}${endMembers(exchange, status)}${idMember()}}\n`

/** Between the lines of the log; a request's line in the log is its record, where there is one. */
function inLog(log: Log): Ledger {
  const turn = createTurn(() => log.push())
  return {
    record(exchange, status, logged) {
      if (logged) return whoElseMembers(exchange) + usedMembers(exchange) + idMember()
      log.announce('usage', `,"request_id":"${exchange.requestId}"${whoMembers(exchange)}${usedMembers(exchange)}${endMembers(exchange, status)}${idMember()}`)
      return ''
    },
    hold: turn.hold,
    // The log tells of its own.
    dropped: () => 0,
    close: () => Promise.resolve(),
  }
}

/** Sent on when there is time. */
function inMemory(destination: Extract<Destination, { to: 'http' | 'stream' }>, log: Log): Ledger {
  let dropped = 0
  const sink = connectSink(destination, log)
  const lines = createLines({
    sink,
    notice(lost) {
      dropped += lost
      log.write('warn', 'ledger: records are lost', { lost })
      return ''
    },
  })
  return {
    record(exchange, status) {
      lines.hold(record(exchange, status))
      return ''
    },
    hold: undefined,
    dropped: () => dropped,
    async close() {
      await lines.flush()
      sink.close()
    },
  }
}

function inFile(path: string, log: Log, max: number | undefined): Ledger {
  const journal = openJournal(path, max)
  const reopen = () => journal.reopen()
  process.on('SIGHUP', reopen)
  const close = (): void => {
    process.off('SIGHUP', reopen)
    journal.close()
  }
  return written({ write: (lines) => journal.write(lines), close }, { file: path }, log)
}

type Written = Readonly<{ write(lines: string): Error | undefined; close(): void }>

function written(to: Written, where: Readonly<Record<string, string>>, log: Log): Ledger {
  let lines = ''
  let count = 0
  let dropped = 0
  let failing = false

  function flush(): void {
    if (count === 0) return
    const error = to.write(lines)
    if (error !== undefined) dropped += count
    if (error !== undefined && !failing) log.write('error', 'ledger: cannot write; records are lost', { ...where, why: error.message })
    if (error === undefined && failing) log.write('info', 'ledger: writing again', { ...where, lost: dropped })
    failing = error !== undefined
    lines = ''
    count = 0
  }

  const turn = createTurn(flush)
  return {
    record(exchange, status) {
      lines += record(exchange, status)
      count++
      turn.begin()
      return ''
    },
    hold: turn.hold,
    dropped: () => dropped,
    close() {
      flush()
      to.close()
      return Promise.resolve()
    },
  }
}

import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Log } from '../telemetry/log.ts'

/** Lines of a worker go out whole: what two processes write to one pipe, the kernel cuts where it likes. */
export function relayLines({ stdout, stderr }: Pick<ChildProcess, 'stdout' | 'stderr'>, log: Log): void {
  whole(stdout, (lines) => log.pass(lines))
  whole(stderr, (lines) => process.stderr.write(lines))
}

function whole(stream: Readable | null, put: (lines: string) => void): void {
  let held = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (text: string) => {
    held += text
    const end = held.lastIndexOf('\n') + 1
    if (end === 0) return
    put(held.slice(0, end))
    held = held.slice(end)
  })
  stream?.on('end', () => { if (held !== '') put(`${held}\n`) })
}

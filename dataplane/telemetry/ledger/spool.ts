import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from './encode.ts'

/**
 * Records on their way to somewhere else, in files of a folder: each process that has requests appends to files of its
 * own, and one process delivers what all of them have written, also those that have ended. A file is `.open` while its
 * process writes to it, and `.jsonl` when it is complete; `.at` beside it says how much of it has been delivered.
 */
export type Spool = Readonly<{
  /** Whole lines; they are the kernel's when it returns. What is wrong where they are not. */
  write(lines: string): Error | undefined
  close(): void
}>

export type SpoolOptions = Readonly<{
  folder: string
  /** Bytes of the folder; beyond them nothing is taken until some of it has been delivered. */
  max?: number
  /** Bytes of one file. */
  segmentMax?: number
}>

const maxDefault = 256 * 1024 * 1024
const segmentDefault = 4 * 1024 * 1024
/** How often it is looked how much there is. Milliseconds. */
const lookEvery = 200

export function openSpool({ folder, max = maxDefault, segmentMax = segmentDefault }: SpoolOptions): Spool {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  let segment: { fd: number; path: string; size: number } | undefined
  let size = 0
  let looked = Number.NEGATIVE_INFINITY

  function begin(): { fd: number; path: string; size: number } {
    // In the order of time, as far as names of one folder need it.
    const path = join(folder, `${new Date().toISOString().replaceAll(':', '-')}-${process.pid}-${randomBytes(3).toString('hex')}`)
    return segment = { fd: openSync(`${path}.open`, 'ax', 0o600), path, size: 0 }
  }

  function end(): void {
    if (segment === undefined) return
    const { fd, path } = segment
    segment = undefined
    closeSync(fd)
    renameSync(`${path}.open`, `${path}.jsonl`)
  }

  return {
    write(lines) {
      try {
        const now = performance.now()
        if (now - looked > lookEvery) {
          size = sizeOf(folder)
          looked = now
        }
        const bytes = encode(lines)
        if (size + bytes.length > max) return new Error(`more than ${max} bytes wait to be delivered`)
        const { fd } = segment ?? begin()
        for (let from = 0; from < bytes.length;) from += writeSync(fd, bytes, from)
        size += bytes.length
        if (segment !== undefined && (segment.size += bytes.length) >= segmentMax) end()
        return undefined
      } catch (error) {
        // A line may have been cut short; the next ones stand in another file.
        try {
          end()
        } catch {
          segment = undefined
        }
        return error instanceof Error ? error : new Error(String(error))
      }
    },
    close() {
      try {
        end()
      } catch {
        // Complete or not, it is delivered once this process is gone.
      }
    },
  }
}

/** Bytes of what waits, as far as files tell. */
export function sizeOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0)
}

import { closeSync, existsSync, fstatSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs'
import { encode } from './encode.ts'

/**
 * A file that lines are appended to at once: when `write` returns they are the kernel's, and the end of this process,
 * however sudden, takes none of them away. Not so the end of the machine: nothing waits for the disk.
 */
export type Journal = Readonly<{
  /** Whole lines. What is wrong where they could not be written; then none of them counts. */
  write(lines: string): Error | undefined
  /** Opens the file of that name anew with the next write: whoever moved it away is done with it. */
  reopen(): void
  close(): void
}>

/** Bytes; then the file is put aside under a name with the time, and another begun. None is ever deleted from here. */
const bytesMax = 128 * 1024 * 1024
/** How often it is looked whether the name is still that of the file. Milliseconds. */
const lookEvery = 200

/** Opens it, so that a file that cannot be written is known at the start. It may be read by its owner only. */
export function openJournal(path: string, max = bytesMax): Journal {
  let file = append(path)
  let looked = performance.now()
  let stale = false

  function current(bytes: number): number {
    const now = performance.now()
    if (!stale && file.size + bytes <= max && now - looked < lookEvery) return file.fd
    looked = now
    const there = statSync(path, { throwIfNoEntry: false })
    const mine = !stale && there?.ino === file.ino && there.dev === file.dev
    if (there !== undefined && mine) file.size = there.size
    const full = there?.isFile() === true && there.size > 0 && there.size + bytes > max
    if (mine && !full) return file.fd
    if (full) putAside(path)
    const next = append(path)
    closeSync(file.fd)
    file = next
    stale = false
    return file.fd
  }

  return {
    write(lines) {
      try {
        const bytes = encode(file.torn ? `\n${lines}` : lines)
        const fd = current(bytes.length)
        for (let from = 0; from < bytes.length;) from += writeSync(fd, bytes, from)
        file.torn = false
        file.size += bytes.length
        return undefined
      } catch (error) {
        // How much of it is there nobody can tell: what comes next begins a line of its own.
        file.torn = true
        looked = Number.NEGATIVE_INFINITY
        return error instanceof Error ? error : new Error(String(error))
      }
    },
    reopen() {
      stale = true
    },
    close: () => closeSync(file.fd),
  }
}

/** Unless another process that writes to it has done so since. */
function putAside(path: string): void {
  try {
    renameSync(path, nameFor(path))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

/** A name that nothing has: what is renamed to one that exists takes its place. */
function nameFor(path: string): string {
  for (let at = Date.now(); ; at++) {
    const name = `${path}.${new Date(at).toISOString().replaceAll(':', '-')}.${process.pid}`
    if (!existsSync(name)) return name
  }
}

/** `torn`: its last line may be cut short, and the next one must not become part of it. `size`: as far as this process knows. */
type Open = { fd: number; ino: number; dev: number; size: number; torn: boolean }

function append(path: string): Open {
  const fd = openSync(path, 'a+', 0o600)
  const about = fstatSync(fd)
  const last = Buffer.alloc(1)
  const torn = about.isFile() && about.size > 0 && readSync(fd, last, 0, 1, about.size - 1) === 1 && last[0] !== 0x0a
  return { fd, ino: about.ino, dev: about.dev, size: about.isFile() ? about.size : 0, torn }
}

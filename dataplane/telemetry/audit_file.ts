import { open, rename, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Sink } from './lines.ts'

export type AuditFile = Sink & Readonly<{
  /** Opens the file of that name anew with the next write: whoever moved it away is done with it. */
  reopen(): void
  close(): Promise<void>
}>

/** Bytes; then the file is put aside under a name with the time, and another begun. None is ever deleted from here. */
const bytesMax = 128 * 1024 * 1024

/** Opens it, so that a file that cannot be written is known at the start. It may be read by its owner only. */
export async function openAuditFile(path: string, max = bytesMax): Promise<AuditFile> {
  let file = await append(path)
  let stale = false

  /** The file that bears the name now: it may have been moved away, here or by another process. */
  async function current(bytes: number): Promise<FileHandle> {
    const there = await stat(path).catch(() => undefined)
    const mine = !stale && there?.ino === file.ino && there.dev === file.dev
    const full = there?.isFile() === true && there.size > 0 && there.size + bytes > max
    if (mine && !full) return file.handle
    if (full) await rename(path, `${path}.${new Date().toISOString().replaceAll(':', '-')}.${process.pid}`).catch(unlessGone)
    const last = file
    file = await append(path)
    stale = false
    await last.handle.close().catch(() => {})
    return file.handle
  }

  async function put(lines: Buffer, durable: boolean): Promise<Error | undefined> {
    const bytes = file.torn ? Buffer.concat([Buffer.from('\n'), lines]) : lines
    try {
      const handle = await current(bytes.length)
      await handle.writeFile(bytes)
      file.torn = false
      if (durable) await handle.datasync().catch(unlessNotOnDisk)
    } catch (error) {
      // What became of it nobody can tell (a write cut short, pages that a failed fsync dropped): begin anew.
      file.torn = true
      stale = true
      return error instanceof Error ? error : new Error(String(error))
    }
    return undefined
  }

  return {
    write(lines, ended, durable) {
      void put(lines, durable).then(ended)
    },
    reopen() {
      stale = true
    },
    close: () => file.handle.close(),
  }
}

/** `torn`: its last line may be cut short, and the next one must not become part of it. */
type Open = { handle: FileHandle; ino: number; dev: number; torn: boolean }

async function append(path: string): Promise<Open> {
  const handle = await open(path, 'a+', 0o600)
  const about = await handle.stat()
  let torn = false
  if (about.isFile() && about.size > 0) {
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, about.size - 1)
    torn = buffer[0] !== 0x0a
  } else if (about.isFile()) await keepName(path)
  return { handle, ino: about.ino, dev: about.dev, torn }
}

/** A new file is safe only once its folder is on disk too. */
async function keepName(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync().catch(unlessNotOnDisk)
  } finally {
    await folder.close()
  }
}

/** Another process that writes to it has put it aside since. */
function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

/** A pipe or a device has no disk to reach (fsync(2): EINVAL). */
function unlessNotOnDisk(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EINVAL' && error.code !== 'ENOTSUP') throw error
}

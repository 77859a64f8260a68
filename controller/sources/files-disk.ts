import type { BigIntStats } from 'node:fs'
import { open, readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'

/** A file that a path names, or that lies in a folder that it names. */
export type Found = Readonly<{
  /** As a message names it: the path that was given, and the file's name. */
  shown: string
  path: string
  /** Its age among all others; sorts as text. */
  order: string
  /** Changes when the file does. */
  signature: string
  /** Changed so lately that it may change again without a new time stamp. */
  fresh: boolean
  /** A pipe: what it says is said once. */
  once: boolean
}>

export type Listing = Readonly<{
  files: readonly Found[]
  /** Folders whose events concern it; null: any name in it, otherwise these. */
  watch: ReadonlyMap<string, ReadonlySet<string> | null>
  problem?: string
}>

const manifest = /^[^.].*\.(yaml|yml|json)$/
/** Coarser than any file system's clock that has sub-second stamps; one without them is caught by its events. */
const FRESH_MS = 100
const MAX_BYTES = 64 * 1024 * 1024

const orderOf = (root: number, name: string) => `${String(root).padStart(4, '0')}/${name}`
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

export function messageOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT') return 'no such file or folder'
  if (code === 'EACCES') return 'permission denied'
  return error instanceof Error ? error.message : String(error)
}

function found(shown: string, path: string, order: string, stats: BigIntStats): Found {
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  return {
    shown,
    path,
    order,
    signature: [dev, ino, size, mtimeNs, ctimeNs].join(),
    fresh: Date.now() - Number(ctimeNs / 1_000_000n) < FRESH_MS,
    once: !stats.isFile(),
  }
}

async function listFolder(given: string, path: string, root: number): Promise<Listing> {
  const watch = new Map<string, ReadonlySet<string> | null>([
    [path, null],
    [dirname(path), new Set([basename(path)])],
  ])
  const files: Found[] = []
  let below = ''
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory() && !entry.name.startsWith('.')) below = ', and those below it are not read: give each by its own -f'
    if (!manifest.test(entry.name) || entry.isDirectory()) continue
    const file = join(path, entry.name)
    try {
      const stats = await stat(file, { bigint: true })
      if (!stats.isFile()) continue
      files.push(found(join(given, entry.name), file, orderOf(root, entry.name), stats))
      if (entry.isSymbolicLink()) watch.set(dirname(await realpath(file)), null)
    } catch {
      // It went between the two calls, or is a link to nothing, as editors make for locks.
    }
  }
  files.sort((a, b) => compare(a.order, b.order))
  const problem = files.length === 0 ? `no .yaml, .yml or .json file in this folder${below}` : undefined
  return problem === undefined ? { files, watch } : { files, watch, problem }
}

/** What a path holds now; throws what the file system throws. `root`: its place on the command line. */
export async function list(given: string, root: number): Promise<Listing> {
  const path = resolve(given)
  const stats = await stat(path, { bigint: true })
  if (stats.isDirectory()) return listFolder(given, path, root)
  const real = await realpath(path).catch(() => path)
  const own = new Set([basename(path)])
  // A link may be swapped by way of another one beside it, as a mounted ConfigMap's are.
  const watch = new Map([[dirname(path), real === path ? own : null]])
  if (dirname(real) !== dirname(path)) watch.set(dirname(real), null)
  const files = [found(given, path, orderOf(root, basename(path)), stats)]
  return { files, watch: stats.isFile() ? watch : new Map() }
}

/** Where a path would appear that is not there. */
export const whereItWas = (given: string): Listing['watch'] =>
  new Map([[dirname(resolve(given)), new Set([basename(resolve(given))])]])

async function readAll(stream: AsyncIterable<Uint8Array | string>): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of stream) {
    const bytes = Buffer.from(part)
    length += bytes.length
    if (length > MAX_BYTES) throw new Error('longer than 64 MiB')
    parts.push(bytes)
  }
  return Buffer.concat(parts)
}

function decode(bytes: Buffer): string {
  const mark = bytes.subarray(0, 2).toString('hex')
  if (mark === 'fffe' || mark === 'feff') throw new Error('UTF-16 text; save it as UTF-8')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new Error('not UTF-8 text')
  }
}

/** The text of a file or of a stream, its byte order mark taken off. */
export async function readText(from: string | AsyncIterable<Uint8Array | string>): Promise<string> {
  if (typeof from !== 'string') return decode(await readAll(from))
  const handle = await open(from)
  return decode(await readAll(handle.createReadStream()))
}

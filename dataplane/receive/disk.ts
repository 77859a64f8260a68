import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, readFile, rename, stat, utimes } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { is } from 'valibot'
import { SCHEMA } from '../../table/messages.ts'
import { Order } from '../../table/order.ts'
import { confidential, RESOURCES, type Resource } from '../../table/resources.ts'
import { versionOf } from '../../table/version.ts'
import type { Disk, Loaded, Log, Table } from '../store.ts'
import type { Arrival, Change } from './held.ts'
import { hashInForce } from './held.ts'

/**
 * The last good table, a JSON document a line: a head, the items in force each with its hash, and a checksum of every
 * byte before it. It holds no secret: of keys it has the digests, and what is confidential is left out.
 */
const FORMAT = 'modelroute-table'

export type DiskOptions = {
  file: string
  gateway: string
  log?: Log | undefined
  /** How long changes are gathered before a write, in milliseconds. */
  debounceMs?: number
  /** How often a confirmation reaches the file (its modification time), in milliseconds. */
  confirmMs?: number
}

export type DiskFile = Disk & {
  /** Writes what is waiting; resolves when it is on disk. */
  flush(): Promise<void>
  /** Flushes, and takes nothing more. */
  close(): Promise<void>
}

/** Lines written between two turns of the event loop: requests must not wait for a table to be written. */
const BATCH = 50

/** While a table changes all the time, writing it is this part of the time at most; and no change waits for longer, in milliseconds. */
const SHARE = 1 / 20
const LONGEST = 10_000

const STORED = RESOURCES.filter((resource) => !confidential(resource))

/** A release that knows of no order passes it over. */
type Saved = Readonly<{ table: Table; order: Order | undefined }>

type Line = { resource: Resource; hash: string; item: unknown }

type Json = Partial<Record<string, unknown>>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null

function isLine(value: unknown): value is Line {
  if (!isObject(value) || typeof value['hash'] !== 'string' || value['item'] === undefined) return false
  return STORED.some((resource) => value['resource'] === resource)
}

function changeOf(lines: readonly Line[], resource: Resource): Change {
  const upsert: Arrival[] = []
  const hashes = new Map<string, string>()
  for (const line of lines) {
    if (line.resource !== resource) continue
    upsert.push({ value: line.item, hash: line.hash })
    hashes.set(isObject(line.item) ? String(line.item['id']) : '', line.hash)
  }
  return { version: versionOf(hashes), upsert, remove: [] }
}

/** The table in those bytes; as a string, why there is none. */
export function parseTable(bytes: Buffer, gateway: string): Omit<Loaded, 'confirmedAt'> | string {
  const end = bytes.lastIndexOf(0x0a, bytes.length - 2)
  if (bytes.length === 0 || end === -1 || bytes.at(-1) !== 0x0a) return 'it is cut short'
  const body = bytes.subarray(0, end + 1)
  const sum = createHash('sha256').update(body).digest('hex')
  if (bytes.subarray(end + 1, -1).toString() !== JSON.stringify({ sha256: sum })) return 'its checksum does not match'
  try {
    const [head, ...lines] = body.toString().split('\n').slice(0, -1).map((line): unknown => JSON.parse(line))
    if (!isObject(head) || head['format'] !== FORMAT) return 'it is not a table'
    const { schema, gateway: of, order } = head
    if (schema !== SCHEMA) return `its schema is ${String(schema)}, and this version reads ${SCHEMA}`
    if (of !== gateway) return `it is the table of gateway ${String(of)}`
    if (!lines.every(isLine)) return 'a line of it is not an item'
    const changes = Object.fromEntries(STORED.map((resource) => [resource, changeOf(lines, resource)]))
    return { changes, ...(is(Order, order) && { order }) }
  } catch (error) {
    return `it cannot be read: ${String(error)}`
  }
}

async function load({ file, gateway, log = () => {} }: DiskOptions): Promise<Loaded | undefined> {
  let why: string
  try {
    const { mtimeMs, isFile } = await stat(file).then((found) => ({ mtimeMs: found.mtimeMs, isFile: found.isFile() }))
    if (!isFile) throw new Error('not a regular file')
    const table = parseTable(await readFile(file), gateway)
    if (typeof table !== 'string') return { ...table, confirmedAt: mtimeMs }
    why = table
  } catch (error) {
    if (isObject(error) && error['code'] === 'ENOENT') return undefined
    why = String(error)
  }
  const aside = `${file}.unusable`
  const kept = await rename(file, aside).then(() => aside, () => undefined)
  log('warn', 'the last good table on disk is not used', { file, why, kept })
  return undefined
}

function* lines({ table, order }: Saved, gateway: string): Generator<string> {
  yield `${JSON.stringify({ format: FORMAT, schema: SCHEMA, gateway, ...(order && { order }) })}\n`
  for (const resource of STORED) {
    const held = table[resource]
    for (const [id, item] of held.items) {
      yield `${JSON.stringify({ resource, hash: hashInForce(held, id) ?? '', item })}\n`
    }
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function writeAll(handle: FileHandle, saved: Saved, gateway: string): Promise<void> {
  const sum = createHash('sha256')
  let batch: string[] = []
  async function out(): Promise<void> {
    const text = batch.join('')
    batch = []
    sum.update(text)
    await handle.writeFile(text)
    await turn()
  }
  for (const line of lines(saved, gateway)) {
    batch.push(line)
    if (batch.length >= BATCH) await out()
  }
  await out()
  await handle.writeFile(`${JSON.stringify({ sha256: sum.digest('hex') })}\n`)
  await handle.sync()
}

/** Replaces the file in one step: a crash at any moment leaves the old table or the new one, never a mixture. */
async function write(file: string, saved: Saved, gateway: string): Promise<void> {
  const draft = `${file}.tmp`
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const handle = await open(draft, 'w', 0o600)
  try {
    await handle.chmod(0o600)
    await writeAll(handle, saved, gateway)
  } finally {
    await handle.close()
  }
  await rename(draft, file)
  await syncFolder(dirname(file))
}

/** Reads what is there, and keeps the file at the last table saved. One process a file. */
export async function openDisk(options: DiskOptions): Promise<DiskFile> {
  const { file, gateway, log = () => {}, debounceMs = 250, confirmMs = 60_000 } = options
  const loaded = await load(options)
  let waiting: Saved | undefined
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> | undefined
  let touched = Date.now()
  /** Not before then, by the monotonic clock. */
  let next = 0
  let failed = false
  let closed = false

  async function drain(): Promise<void> {
    const saved = waiting
    waiting = undefined
    if (saved === undefined) return
    const begun = performance.now()
    try {
      await write(file, saved, gateway)
      if (failed) log('info', 'the table is kept on disk again', { file })
      failed = false
    } catch (error) {
      if (!failed) log('error', 'the table cannot be kept on disk; serving goes on', { file, why: String(error) })
      failed = true
    }
    const ended = performance.now()
    next = ended + Math.min(LONGEST, (ended - begun) / SHARE)
  }

  function start(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    return (writing ??= drain().finally(() => {
      writing = undefined
      if (waiting !== undefined) later()
    }))
  }

  function later(): void {
    timer ??= setTimeout(() => void start(), Math.max(debounceMs, next - performance.now())).unref()
  }

  async function flush(): Promise<void> {
    await start()
    if (waiting !== undefined || writing !== undefined) await flush()
  }

  return {
    loaded,
    save(table, order) {
      if (closed) return
      waiting = { table, order }
      if (writing === undefined) later()
    },
    confirm() {
      const now = Date.now()
      if (closed || writing !== undefined || waiting !== undefined || now - touched < confirmMs) return
      touched = now
      utimes(file, now / 1000, now / 1000).catch(() => {})
    },
    flush,
    async close() {
      closed = true
      await flush()
    },
  }
}

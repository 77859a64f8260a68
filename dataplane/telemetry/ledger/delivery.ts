import { mkdirSync } from 'node:fs'
import { open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sink } from '../lines.ts'

/** Takes what a spool has to where it is to go, in the order in which it was written, and forgets what has arrived. */
export type Delivery = Readonly<{
  /** Resolves once all is delivered that was there, or so many milliseconds are over. What is left is delivered by the next process. */
  close(patience: number): Promise<void>
}>

export type DeliveryOptions = Readonly<{
  folder: string
  /** Tries again until it has arrived. */
  sink: Sink & Readonly<{ close(): void }>
  /** How often it is looked whether there is something new. Milliseconds. */
  every?: number
  /** What cannot be read or deleted. */
  say: (why: string) => void
}>

/** Bytes that are read at once. */
const chunkMax = 512 * 1024

/** The one process that delivers from this folder. Processes that write to it begin after it. */
export function startDelivery({ folder, sink, every = 200, say }: DeliveryOptions): Delivery {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  /** How much of each file has been delivered. */
  const offsets = new Map<string, number>()
  let closing = false
  let timer: NodeJS.Timeout | undefined
  let wake = (): void => {}

  async function run(): Promise<void> {
    for (;;) {
      const moved = await round().catch((error: unknown) => {
        say(error instanceof Error ? error.message : String(error))
        return false
      })
      if (!moved && closing) return
      if (!moved) await new Promise<void>((resolve) => {
        wake = resolve
        timer = setTimeout(resolve, every).unref()
      })
    }
  }

  /** @returns whether something was delivered */
  async function round(): Promise<boolean> {
    let moved = false
    for (const name of (await readdir(folder)).filter((one) => /\.(?:open|jsonl)$/.test(one)).sort()) {
      const path = join(folder, name)
      const key = name.replace(/\.\w+$/, '')
      const delivered = await empty(path, key)
      if (delivered === undefined) return moved
      moved ||= delivered
      if (name.endsWith('.jsonl')) await forget(path, key)
      // Its process is gone. Whatever it wrote last, it wrote before that.
      else if (isAbandoned(name)) {
        await empty(path, key)
        await forget(path, key)
      }
    }
    return moved
  }

  /** Delivers what a file has, as far as its lines are complete. Undefined: it did not arrive. */
  async function empty(path: string, key: string): Promise<boolean | undefined> {
    let at = offsets.get(key) ?? Number(await readFile(join(folder, `${key}.at`), 'utf8').catch(() => 0))
    const from = at
    const file = await open(path, 'r').catch(() => undefined)
    // It was completed meanwhile, and has another name.
    if (file === undefined) return false
    try {
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkMax), 0, chunkMax, at)
        const end = buffer.lastIndexOf(0x0a, bytesRead - 1) + 1
        if (bytesRead === 0 || end === 0) break
        if (await arrived(buffer.subarray(0, end)) !== undefined) return undefined
        at += end
        offsets.set(key, at)
        // Late is no harm: what is delivered again is told by its request id.
        await writeFile(join(folder, `${key}.at`), String(at), { mode: 0o600 })
      }
    } finally {
      await file.close()
    }
    return at > from
  }

  function arrived(lines: Buffer): Promise<Error | undefined> {
    return new Promise((resolve) => { sink.write(lines, resolve, true) })
  }

  async function forget(path: string, key: string): Promise<void> {
    const done = join(folder, `${key}.done`)
    await rename(path, done)
    await rm(join(folder, `${key}.at`), { force: true })
    await rm(done, { force: true })
    offsets.delete(key)
  }

  const ended = run()
  return {
    async close(patience) {
      closing = true
      clearTimeout(timer)
      wake()
      const late = setTimeout(() => sink.close(), patience)
      await ended
      clearTimeout(late)
      sink.close()
    },
  }
}

/** Nobody writes to it any more. A process of our own number before us was another one. */
function isAbandoned(name: string): boolean {
  const pid = Number(/-(\d+)-[0-9a-f]{6}\.open$/.exec(name)?.[1])
  if (pid === process.pid) return !isOwn(name)
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'EPERM')
  }
}

/** Names begin with a time: what this process writes is younger than itself. */
const startedAt = Date.now() - performance.now()
const isOwn = (name: string) => Date.parse(name.replace(/^(\d{4}-\d\d-\d\dT\d\d)-(\d\d)-(\d\d\.\d+Z).*$/, '$1:$2:$3')) >= startedAt - 1

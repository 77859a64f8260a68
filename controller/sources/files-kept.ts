import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Log } from '../log.ts'

/** A JSON object in a file that is replaced whole, one write at a time, the last one winning. */
export class KeptFile {
  readonly #file: string | undefined
  readonly #what: string
  readonly #log: Log
  #content: (() => unknown) | undefined
  #written: (() => void)[] = []
  #writing: Promise<void> | undefined

  /** @param file undefined: nothing is kept, and that is as good as written */
  constructor(file: string | undefined, what: string, log: Log) {
    this.#file = file
    this.#what = what
    this.#log = log
  }

  /** What is in it; nothing where there is no file, or where it cannot be read, which is logged. */
  async load(): Promise<readonly (readonly [string, unknown])[]> {
    if (this.#file === undefined) return []
    try {
      const stored: unknown = JSON.parse(await readFile(this.#file, 'utf8'))
      if (typeof stored !== 'object' || stored === null) throw new Error('not a JSON object')
      return Object.entries(stored)
    } catch (error) {
      const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (!absent) this.#log('warn', `the ${this.#what} cannot be read`, { file: this.#file, why: String(error) })
      return []
    }
  }

  /** Returns at once. `written`: it is on disk, or there is no file. */
  keep(content: () => unknown, written: () => void = () => {}): void {
    this.#content = content
    this.#written.push(written)
    this.#writing ??= this.#write()
  }

  /** Resolves when what was kept is on disk. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  async #write(): Promise<void> {
    // What is kept in one go is written in one go.
    await Promise.resolve()
    try {
      while (this.#content !== undefined) {
        const text = JSON.stringify(this.#content())
        const waiting = this.#written
        this.#content = undefined
        this.#written = []
        try {
          if (this.#file !== undefined) await replace(this.#file, text)
        } catch (error) {
          this.#log('error', `the ${this.#what} cannot be kept`, { file: this.#file, why: String(error) })
        }
        // A full disk must not stop what waits for it: then it ends with the process.
        for (const written of waiting) written()
      }
    } finally {
      // In the turn that found nothing more: what is kept a moment later must find nobody writing, or nobody would write it.
      this.#writing = undefined
    }
  }
}

async function replace(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  const draft = `${file}.tmp`
  const handle = await open(draft, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
}

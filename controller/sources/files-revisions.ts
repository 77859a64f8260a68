import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ModelRoute } from '../../crds/types.gen.ts'
import type { Log } from '../log.ts'
import { isRouteSpec } from './route-spec.ts'
import type { Snapshot } from './snapshot.ts'

/**
 * Over files, what ControllerRevisions are in a cluster: the spec last in force of each route, so that an edit which
 * breaks a rule costs nothing, even when the process that knew the last good version is gone. A JSON object by route.
 */
export class FileRevisions {
  readonly #file: string
  readonly #log: Log
  #inForce = new Map<string, ModelRoute['spec']>()
  #writing: Promise<void> | undefined
  #again = false

  constructor(file: string, log: Log) {
    this.#file = file
    this.#log = log
  }

  /** What the last process left; nothing where there was none, or where it cannot be read. */
  async load(): Promise<Snapshot['revisions']> {
    try {
      const stored: unknown = JSON.parse(await readFile(this.#file, 'utf8'))
      if (typeof stored !== 'object' || stored === null) throw new Error('not a JSON object')
      for (const [key, spec] of Object.entries(stored)) if (isRouteSpec(spec)) this.#inForce.set(key, spec)
    } catch (error) {
      const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (!absent) this.#log('warn', 'the last good rules cannot be read', { file: this.#file, why: String(error) })
    }
    return new Map([...this.#inForce].map(([key, spec]) => [key, { revision: 1, spec }]))
  }

  /** Keeps what is in force now. Returns at once. */
  keep(inForce: ReadonlyMap<string, ModelRoute['spec']>): void {
    const same = inForce.size === this.#inForce.size && [...inForce].every(([key, spec]) => this.#inForce.get(key) === spec)
    if (same) return
    this.#inForce = new Map(inForce)
    this.#again = true
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined))
  }

  /** Resolves when what was kept is on disk. */
  async flush(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    while (this.#again) {
      this.#again = false
      try {
        await mkdir(dirname(this.#file), { recursive: true })
        const draft = `${this.#file}.tmp`
        const handle = await open(draft, 'w', 0o600)
        try {
          await handle.writeFile(JSON.stringify(Object.fromEntries(this.#inForce)))
          await handle.sync()
        } finally {
          await handle.close()
        }
        await rename(draft, this.#file)
      } catch (error) {
        this.#log('error', 'the last good rules cannot be kept', { file: this.#file, why: String(error) })
      }
    }
  }
}

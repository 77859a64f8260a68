import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'

type Names = ReadonlySet<string> | null

/**
 * The file system's events for a set of folders. An event says only that it is time to look: what happened, the looking
 * finds out. A folder that was replaced by another of its name is watched anew.
 */
export class FolderWatch {
  readonly #onEvent: () => void
  readonly #folders = new Map<string, { watcher: FSWatcher; inode: string; names: Names }>()
  /** Why there are no events for some of the folders: the system ran out of watches, or has none. */
  failure: string | undefined

  constructor(onEvent: () => void) {
    this.#onEvent = onEvent
  }

  /** `null`: any name in the folder. True where something was not watched until now, so events may have been missed. */
  async set(folders: ReadonlyMap<string, Names>): Promise<boolean> {
    this.failure = undefined
    for (const folder of this.#folders.keys()) if (!folders.has(folder)) this.#drop(folder)
    let changed = false
    for (const [folder, names] of folders) {
      const inode = await inodeOf(folder)
      const had = this.#folders.get(folder)
      if (had !== undefined && had.inode === inode) {
        had.names = names
        continue
      }
      this.#drop(folder)
      if (inode !== undefined) changed = this.#add(folder, inode, names) || changed
    }
    return changed
  }

  close(): void {
    for (const folder of this.#folders.keys()) this.#drop(folder)
  }

  #add(folder: string, inode: string, names: Names): boolean {
    try {
      const watcher = watch(folder, (_event, name) => {
        const wanted = this.#folders.get(folder)?.names
        if (name === null || wanted === null || wanted?.has(name) === true) this.#onEvent()
      })
      watcher.on('error', () => {
        this.#drop(folder)
        this.#onEvent()
      })
      this.#folders.set(folder, { watcher, inode, names })
      return true
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error)
      return false
    }
  }

  #drop(folder: string): void {
    this.#folders.get(folder)?.watcher.close()
    this.#folders.delete(folder)
  }
}

async function inodeOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true })
    return `${dev}:${ino}`
  } catch {
    return undefined
  }
}

import type { ModelRoute } from '../../crds/types.gen.ts'
import type { Log } from '../log.ts'
import { KeptFile } from './files-kept.ts'
import { isRouteSpec } from './route-spec.ts'
import type { Revision, Snapshot } from './snapshot.ts'

const HISTORY = 10

/**
 * Over files, what ControllerRevisions are in a cluster: the specs that were in force of each route, the last one of which
 * is fallen back to when an edit breaks a rule, even when the process that knew it is gone. A JSON object by route.
 */
export class FileRevisions {
  readonly #file: KeptFile
  #history = new Map<string, readonly Revision[]>()

  /** @param file undefined: they end with the process */
  constructor(file: string | undefined, log: Log) {
    this.#file = new KeptFile(file, 'last good rules', log)
  }

  /** What the last process left; nothing where there was none, or where it cannot be read. */
  async load(): Promise<Snapshot['revisions']> {
    for (const [key, stored] of await this.#file.load()) {
      const history = read(stored)
      if (history.length > 0) this.#history.set(key, history)
    }
    return new Map([...this.#history].flatMap(([key, history]) => history.slice(-1).map((latest) => [key, latest] as const)))
  }

  /** The oldest first. */
  of(route: string): readonly Revision[] {
    return this.#history.get(route) ?? []
  }

  /** Keeps what is in force now. Returns at once. */
  keep(inForce: ReadonlyMap<string, ModelRoute['spec']>): void {
    let same = inForce.size === this.#history.size
    const history = new Map<string, readonly Revision[]>()
    for (const [key, spec] of inForce) {
      const known = this.of(key)
      const latest = known.at(-1)
      const unchanged = latest !== undefined && (latest.spec === spec || JSON.stringify(latest.spec) === JSON.stringify(spec))
      same &&= unchanged
      history.set(key, unchanged ? known : [...known, { revision: (latest?.revision ?? 0) + 1, spec }].slice(-HISTORY))
    }
    if (same) return
    this.#history = history
    this.#file.keep(() => Object.fromEntries(history))
  }

  /** Resolves when what was kept is on disk. */
  flush(): Promise<void> {
    return this.#file.flush()
  }
}

/** A list of revisions, or the one spec that earlier versions kept. */
function read(stored: unknown): readonly Revision[] {
  if (isRouteSpec(stored)) return [{ revision: 1, spec: stored }]
  if (!Array.isArray(stored)) return []
  return stored.flatMap((each: unknown) => (isRevision(each) ? [each] : []))
}

function isRevision(value: unknown): value is Revision {
  if (typeof value !== 'object' || value === null || !('revision' in value) || !('spec' in value)) return false
  return typeof value.revision === 'number' && isRouteSpec(value.spec)
}

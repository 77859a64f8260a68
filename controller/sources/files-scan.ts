import { type Found, list, type Listing, messageOf, whereItWas } from './files-disk.ts'
import { fileProblem, load, type Loaded, type LocatedProblem, type Placed, unreadable } from './files-file.ts'

export type Scan = Readonly<{
  placed: readonly Placed[]
  problems: readonly LocatedProblem[]
  /** What was read, or was to be, in the order of the paths. */
  files: readonly string[]
  watch: Listing['watch']
  /** Of the paths that were given, those that cannot be read. */
  missing: readonly string[]
}>

type Stdin = AsyncIterable<Uint8Array | string>

const stdinFile = (root: number): Found => ({
  shown: 'stdin',
  path: '-',
  order: `${String(root).padStart(4, '0')}/`,
  signature: 'stdin',
  fresh: false,
  once: true,
})

const merged = (into: Map<string, ReadonlySet<string> | null>, more: Listing['watch']) => {
  for (const [folder, names] of more) {
    const had = into.get(folder)
    into.set(folder, had === null || names === null ? null : new Set([...(had ?? []), ...names]))
  }
}

/**
 * Reads what the paths hold, again and again, each time only what changed. A path that was there and is gone keeps
 * what it held in force: it must have been wanted, since somebody typed it. A file that leaves its folder is gone.
 */
export function createScan(paths: readonly string[], stdin: Stdin): () => Promise<Scan> {
  let files: ReadonlyMap<string, Loaded> = new Map()
  const held = new Map<number, readonly Found[]>()
  let streamed = false

  const listRoot = async (given: string, root: number): Promise<Listing & { failed?: string }> => {
    if (given === '-') return { files: [stdinFile(root)], watch: new Map() }
    try {
      const listing = await list(given, root)
      held.set(root, listing.files)
      return listing
    } catch (error) {
      return { files: held.get(root) ?? [], watch: whereItWas(given), failed: messageOf(error) }
    }
  }

  const loadFile = async (found: Found): Promise<Loaded> => {
    const before = files.get(found.path)
    if (before !== undefined && (found.once || before.signature === found.signature)) return before
    if (found.path !== '-') return load(found, before, found.path)
    // A stream that was read cannot be read again.
    if (streamed) return before ?? unreadable(found.shown, 'is read once only', before)
    streamed = true
    return load(found, before, stdin)
  }

  return async () => {
    const now = new Map<string, Loaded>()
    const problems: LocatedProblem[] = []
    const names: string[] = []
    const missing: string[] = []
    const watch = new Map<string, ReadonlySet<string> | null>()
    for (const [root, given] of paths.entries()) {
      const listing = await listRoot(given, root)
      merged(watch, listing.watch)
      if (listing.problem !== undefined) problems.push(fileProblem(given, listing.problem, 'warning'))
      if (listing.failed !== undefined) {
        missing.push(given)
        const stays = listing.files.length > 0 ? '; what it held stays in force' : ''
        problems.push(fileProblem(given, `${listing.failed}${stays}`))
        names.push(given)
      }
      for (const found of listing.files) {
        if (now.has(found.path)) continue
        const before = files.get(found.path)
        const loaded = listing.failed !== undefined && before !== undefined ? before : await loadFile(found)
        now.set(found.path, loaded)
        names.push(found.shown)
        problems.push(...loaded.problems)
      }
    }
    files = now
    return { placed: [...now.values()].flatMap(({ placed }) => placed), problems, files: names, watch, missing }
  }
}

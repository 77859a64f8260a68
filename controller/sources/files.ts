import { locateIn } from './files-document.ts'
import { type LocatedProblem, type Placed } from './files-file.ts'
import { createScan, type Scan } from './files-scan.ts'
import { type Assembled, assemble, emptySnapshot } from './files-snapshot.ts'
import { FolderWatch } from './files-watch.ts'
import type { Snapshot } from './snapshot.ts'
import type { Source } from './source.ts'

export type { LocatedProblem } from './files-file.ts'

type Stdin = AsyncIterable<Uint8Array | string>

export type FileSourceOptions = Readonly<{
  /** Files, folders (not recursive: `.yaml`, `.yml`, `.json`) and `-`. */
  paths: readonly string[]
  watch: boolean
  stdin?: Stdin
}>

/** `line` and `column` count from 1. */
export type Location = Readonly<{ file: string; line: number; column: number }>

export type Manifests = Readonly<{
  snapshot: Snapshot
  /** What no resource carries by itself: text that does not parse, names twice, foreign kinds of a wrong shape. */
  problems: readonly LocatedProblem[]
  /** What was read, or was to be, in the order of the paths. */
  files: readonly string[]
  /** Where a field of an object is written, or the nearest of what holds it. Undefined: there is no such object. */
  locate(kind: string, namespace: string, name: string, field: string): Location | undefined
}>

/** Editors write a file in several steps; an edit must be out within 300 ms. */
const QUIET_MS = 30
const PATIENCE_MS = 120
/** Catches what events miss: network file systems, links to elsewhere. */
const POLL_MS = 1000
const POLL_ALONE_MS = 200

type Listener = (problems: readonly LocatedProblem[], fresh: readonly LocatedProblem[]) => void

function locationOf({ file, line, document, item }: Placed, field: string): Location {
  const at = locateIn(document, item, field)
  return { file, line: line + at.line, column: at.column }
}

function manifestsOf(assembled: Assembled, scan: Scan): Manifests {
  return {
    snapshot: assembled.snapshot,
    problems: [...scan.problems, ...assembled.problems],
    files: scan.files,
    locate: (kind, namespace, name, field) => {
      const placed = assembled.places.get(`${kind}/${namespace}/${name}`)
      return placed === undefined ? undefined : locationOf(placed, field)
    },
  }
}

const read = (scan: Scan, before: Snapshot) =>
  manifestsOf(
    assemble(scan.placed, before, (placed) => locationOf(placed, '').line),
    scan,
  )

/** Reads the manifests once. Never fails: a path that is not there is a problem like any other. */
export async function readManifests(paths: readonly string[], stdin: Stdin = process.stdin): Promise<Manifests> {
  return read(await createScan(paths, stdin)(), emptySnapshot)
}

/** Resources from manifests on disk, as kubectl would read them. */
export class FileSource implements Source {
  readonly #watching: boolean
  readonly #scan: () => Promise<Scan>
  readonly #folders = new FolderWatch(() => this.#wake())
  readonly #listeners: Listener[] = []
  #onSnapshot: (snapshot: Snapshot) => void = () => {}
  #manifests: Manifests = { snapshot: emptySnapshot, problems: [], files: [], locate: () => undefined }
  #timer: NodeJS.Timeout | undefined
  /** When the first event came that no scan has seen yet. */
  #waking: number | undefined
  #scanning: Promise<void> | undefined
  #stopped = false

  constructor({ paths, watch, stdin = process.stdin }: FileSourceOptions) {
    this.#watching = watch
    this.#scan = createScan(paths, stdin)
  }

  /** Rejects where a path that was given does not exist; a file that does not parse is a problem, and no obstacle. */
  async start(onSnapshot: (snapshot: Snapshot) => void): Promise<void> {
    const scan = await this.#scan()
    const lost = scan.problems.find(({ file }) => scan.missing.includes(file))
    if (lost !== undefined) throw new Error(`${lost.file}: ${lost.message}`)
    if (this.#stopped) return
    this.#onSnapshot = onSnapshot
    this.#take(scan)
    onSnapshot(this.#manifests.snapshot)
    if (this.#watching) await this.#listen(scan)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#folders.close()
    await this.#scanning
    this.#folders.close()
  }

  /** What is wrong now and belongs to no resource. */
  problems(): readonly LocatedProblem[] {
    return this.#manifests.problems
  }

  locate(kind: string, namespace: string, name: string, field: string): Location | undefined {
    return this.#manifests.locate(kind, namespace, name, field)
  }

  /** Calls back whenever `problems()` changed; `fresh` are those that were not there before, each to be logged once. */
  onProblems(listener: Listener): void {
    this.#listeners.push(listener)
  }

  /** True where there is something new to hand on. */
  #take(scan: Scan): boolean {
    const before = this.#manifests
    this.#manifests = read(scan, before.snapshot)
    const had = new Set(before.problems.map((problem) => JSON.stringify(problem)))
    const fresh = this.#manifests.problems.filter((problem) => !had.has(JSON.stringify(problem)))
    if (fresh.length > 0 || this.#manifests.problems.length !== before.problems.length) {
      for (const listener of this.#listeners) listener(this.#manifests.problems, fresh)
    }
    return this.#manifests.snapshot !== before.snapshot
  }

  async #listen(scan: Scan): Promise<void> {
    const missed = await this.#folders.set(scan.watch)
    if (this.#stopped) return this.#folders.close()
    if (missed) this.#wake()
    else this.#schedule(this.#folders.failure === undefined ? POLL_MS : POLL_ALONE_MS)
  }

  #schedule(delay: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#scanning = this.#rescan().finally(() => (this.#scanning = undefined))
    }, delay)
  }

  #wake(): void {
    const now = performance.now()
    this.#waking ??= now
    if (this.#stopped || this.#scanning !== undefined) return
    this.#schedule(Math.max(0, Math.min(QUIET_MS, this.#waking + PATIENCE_MS - now)))
  }

  async #rescan(): Promise<void> {
    this.#waking = undefined
    const scan = await this.#scan()
    if (this.#stopped) return
    if (this.#take(scan)) this.#onSnapshot(this.#manifests.snapshot)
    await this.#folders.set(scan.watch).then((missed) => {
      if (missed) this.#waking ??= performance.now()
    })
    if (this.#stopped) return
    const idle = this.#folders.failure === undefined ? POLL_MS : POLL_ALONE_MS
    this.#schedule(this.#waking === undefined ? idle : QUIET_MS)
  }
}

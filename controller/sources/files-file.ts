import { setImmediate } from 'node:timers/promises'
import { type Found, messageOf, readText } from './files-disk.ts'
import { type Document, readDocument } from './files-document.ts'
import type { Item } from './files-objects.ts'
import { split } from './files-split.ts'
import type { Problem } from './snapshot.ts'

/** `line` and `column` count from 1; 0: the file as a whole. Names that are not known are empty. */
export type LocatedProblem = Readonly<{
  file: string
  line: number
  column: number
  kind: string
  namespace: string
  name: string
}> &
  Problem

/** An object and where it is written. */
export type Placed = Readonly<{
  item: Item
  document: Document
  file: string
  /** Lines of the file before its document. */
  line: number
  created: string
  /** No longer to be read in its file, and still in force. */
  kept: boolean
}>

/** What was last read of a file. */
export type Loaded = Readonly<{
  signature: string
  documents: ReadonlyMap<string, Document>
  placed: readonly Placed[]
  problems: readonly LocatedProblem[]
  /** When it was first seen without any text, in milliseconds. */
  blankSince?: number
}>

/** A shell empties a file before the command that fills it has even started. */
const BLANK_MS = 1000
/** The data plane may run in this process. */
const BUSY_MS = 10

export const idOf = ({ kind, namespace, name }: Item) => `${kind}/${namespace}/${name}`

const pad = (index: number) => String(index).padStart(6, '0')

export const fileProblem = (
  file: string,
  message: string,
  severity: Problem['severity'] = 'error',
): LocatedProblem => ({
  file,
  line: 0,
  column: 0,
  kind: '',
  namespace: '',
  name: '',
  field: '',
  reason: 'Unreadable',
  message,
  severity,
})

const keep = (placed: Placed): Placed => (placed.kept ? placed : { ...placed, kept: true })

/** The file cannot be read: all that it held stays in force. */
export function unreadable(shown: string, message: string, before: Loaded | undefined): Loaded {
  return {
    signature: '',
    documents: before?.documents ?? new Map(),
    placed: (before?.placed ?? []).map(keep),
    problems: [fileProblem(shown, message)],
  }
}

/**
 * What of the file's earlier objects stays in force although it is not in it: all, while any document of it cannot be
 * read, since a half-written file reads like that; and an object that is there, of a foreign kind, but not valid.
 */
function carried(before: Loaded | undefined, placed: readonly Placed[], broken: boolean): Placed[] {
  const valid = new Set(placed.filter(({ item }) => usable(item)).map(({ item }) => idOf(item)))
  const named = new Set(placed.map(({ item }) => idOf(item)))
  const stays = ({ item }: Placed) => {
    const id = idOf(item)
    return usable(item) && !valid.has(id) && (named.has(id) || broken)
  }
  return (before?.placed ?? []).filter(stays).map(keep)
}

/** An object of our own kinds that is not valid is known as such further on; one of a foreign kind is nothing. */
const usable = ({ kind, object }: Item) => object !== undefined || kind === 'ModelRoute' || kind === 'RateLimitPolicy'

async function readDocuments(text: string, { shown, order }: Found, before: Loaded | undefined) {
  const documents = new Map<string, Document>()
  const placed: Placed[] = []
  const problems: LocatedProblem[] = []
  let broken = false
  let began = performance.now()
  for (const [index, chunk] of split(text).entries()) {
    const key = chunk.separator === undefined ? chunk.text : `---${chunk.separator}${chunk.text}`
    const document = before?.documents.get(key) ?? documents.get(key) ?? readDocument(chunk)
    documents.set(key, document)
    broken ||= document.broken
    for (const [at, item] of document.items.entries()) {
      const created = `${order}/${pad(index)}/${pad(at)}`
      placed.push({ item, document, file: shown, line: chunk.line, created, kept: false })
    }
    for (const { at, ...problem } of document.problems) {
      problems.push({ file: shown, line: chunk.line + at.line, column: at.column, ...problem })
    }
    if (performance.now() - began > BUSY_MS) {
      await setImmediate()
      began = performance.now()
    }
  }
  return { documents, placed, problems, broken }
}

/** Reads the file; a document whose text is the same as before keeps its objects, identity and all. */
export async function load(
  found: Found,
  before: Loaded | undefined,
  source: string | AsyncIterable<Uint8Array | string>,
): Promise<Loaded> {
  let text: string
  try {
    text = await readText(source)
  } catch (error) {
    return unreadable(found.shown, messageOf(error), before)
  }
  if (text.trim() === '' && before !== undefined && before.placed.length > 0) {
    const blankSince = before.blankSince ?? Date.now()
    if (Date.now() - blankSince < BLANK_MS) return { ...before, signature: '', blankSince }
  }
  const { documents, placed, problems, broken } = await readDocuments(text, found, before)
  return {
    signature: found.fresh ? '' : found.signature,
    documents,
    placed: [...placed.filter(({ item }) => usable(item)), ...carried(before, placed, broken)],
    problems,
  }
}

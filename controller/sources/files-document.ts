import { type Chunk } from './files-split.ts'
import { type Item, readObjects } from './files-objects.ts'
import { offsetOfPath, type Path, parseField, type Position, positionAt } from './files-place.ts'
import { parseYaml } from './files-yaml.ts'
import type { Problem } from './snapshot.ts'

type DocumentProblem = Readonly<{ kind: string; namespace: string; name: string; at: Position }> & Problem

/** What one document of a file holds. It depends on its text alone; positions count from its first line. */
export type Document = Readonly<{
  text: string
  items: readonly Item[]
  problems: readonly DocumentProblem[]
  /** It may hold, unreadably, objects that it held before. */
  broken: boolean
}>

const nameless = { kind: '', namespace: '', name: '' }

const failed = (text: string, message: string, at: Position, reason = 'Syntax'): Document => ({
  text,
  items: [],
  problems: [{ ...nameless, at, field: '', reason, message, severity: 'error' }],
  broken: true,
})

const isForeign = (item: Item) => item.kind !== 'ModelRoute' && item.kind !== 'RateLimitPolicy'

export function readDocument({ text, separator }: Chunk): Document {
  if (separator !== undefined) {
    const shown = separator.slice(0, 40)
    return failed(text, `only a comment may follow --- on its line, not: ${shown}`, { line: 1, column: 1 })
  }
  const document = parseYaml(text)
  if ('fault' in document) {
    // What is missing at the end is missing after the last thing that is there.
    const offset = Math.min(document.fault.offset, text.trimEnd().length)
    return failed(text, document.fault.message, positionAt(text, offset))
  }
  if (document.value === null) return { text, items: [], problems: [], broken: false }
  const { items, faults } = readObjects(document.value)
  const place = (path: Path, field: string) =>
    positionAt(text, offsetOfPath(document, [...path, ...parseField(field)]))
  const problems: DocumentProblem[] = [
    ...faults.map(({ path, problem, kind, namespace, name }) => ({
      kind,
      namespace,
      name,
      at: place(path, problem.field),
      ...problem,
    })),
    // Those of our own kinds go with the object, into its status.
    ...items.filter(isForeign).flatMap(({ kind, namespace, name, path, problems }) =>
      problems.map((problem) => ({ kind, namespace, name, at: place(path, problem.field), ...problem })),
    ),
  ]
  return { text, items, problems, broken: faults.some(({ lost }) => lost) }
}

/** Where a field of one of its objects is written. Reads the text again, since it is asked for only in trouble. */
export function locateIn(document: Document, item: Item, field: string): Position {
  const parsed = parseYaml(document.text)
  if ('fault' in parsed) return { line: 1, column: 1 }
  return positionAt(document.text, offsetOfPath(parsed, [...item.path, ...parseField(field)]))
}
